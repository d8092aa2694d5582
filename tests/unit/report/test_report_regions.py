"""Several random regions of a seed: one number a seed in every table, each trial within reach."""

from dataclasses import replace

import pytest
from support.reports import ALPHAS, Record, attack, failed_trial, made, study, trial

from lacuna.errors import UserError
from lacuna.report import Results
from lacuna.report.cells import BASELINE, ORACLE, CellKey, alike_by_seed, arms_by_seed
from lacuna.report.claims.places import trial_cells
from lacuna.report.figures import panels
from lacuna.seeds import numpy_generator
from lacuna.significance import arms_of, compare

AUES = {ORACLE: {1: [0.90], 2: [0.94], 3: [0.92]}}
AUES[BASELINE] = {1: [0.91, 0.87, 0.95], 2: [0.91, 0.90, 0.86], 3: [0.94, 0.92, 0.90]}


def trials() -> list[Record]:
    """Last regions first: the order of stages is no one's to rely on."""
    found = []
    for scenario, seeds in AUES.items():
        for seed, values in seeds.items():
            for region, aues in reversed([*enumerate(values, start=1)]):
                numbered = {"region": region} if region > 1 else {}
                found.append(trial(scenario, seed, aues=aues, **numbered))
    return found


def results(stages: list[Record] | None = None) -> Results:
    one = study()
    others = [s for s in one.stages if s["kind"] != "trial"]
    return replace(one, stages=[*others, *(trials() if stages is None else stages)], comparisons=[])


def cells(stages: list[Record] | None = None) -> tuple[object, object]:
    found = trial_cells(results(stages).stages)
    return found[CellKey(0.1, "npo", ORACLE)], found[CellKey(0.1, "npo", BASELINE)]


def row(table: str, /, **where: object) -> Record:
    (found,) = [one for one in made(table, results()) if all(one[k] == v for k, v in where.items())]
    return found


def test_a_seed_with_three_regions_is_one_seed_whose_number_is_their_mean() -> None:
    found = row("main", scenario=BASELINE, measure="AUES")
    assert found["n"] == 3 and found["seeds"] == [1, 2, 3] and found["status"] == "ok"
    means = [0.91, 0.89, 0.92]
    assert found["mean"] == pytest.approx(sum(means) / 3)
    assert found["sd"] == pytest.approx(0.0152753, rel=1e-4), "over seeds, not over regions"
    assert len(found["keys"]) == 9
    assert row("main", scenario=BASELINE, measure="MU95")["uncrossed"] == [3]


def test_attacks_and_changes_too_count_seeds() -> None:
    found = row("attacks", scenario=BASELINE, attack="relearn")
    assert (found["n"], found["seeds"], found["n_others"]) == (3, [1, 2, 3], [4, 4, 4])
    assert found["logp_after_mean"] == pytest.approx(-5.0)
    back = row("resurfacing", scenario=BASELINE, attack="relearn", measure="logp")
    assert back["n"] == 3 and back["above_retained"] == pytest.approx(-1.0)
    changed = row("localization", subject="change", name=BASELINE)
    assert changed["n"] == 3 and changed["precision_mean"] == pytest.approx(0.14)
    layer = row("localization_layers", subject="change", name=BASELINE, layer=0)
    assert layer["precision_n"] == 3


def test_curves_are_told_apart_by_their_region_and_drawn_as_one_line_a_seed() -> None:
    found = [one for one in made("curves", results()) if one["scenario"] == BASELINE]
    assert [(o["seed"], o["region"]) for o in found[:: len(ALPHAS)]] == [
        (seed, region) for seed in (1, 2, 3) for region in (1, 2, 3)
    ]
    others = [one for one in made("curves", results()) if one["scenario"] == ORACLE]
    assert {one["region"] for one in others} == {None}
    drawn = [panel for panel in panels(results()) if "FS-RS" in panel.title]
    assert [name for name, _ in drawn[0].legend] == ["oracle (n=3)", "random (n=3)"]


def test_leaked_facts_of_a_seed_are_compared_region_by_region() -> None:
    def leaking(scenario: str, *facts: str, **more: int) -> Record:
        leaked = {"k": 2, "leaked_before": [], "leaked_after": list(facts)}
        return trial(scenario, 1, attacks=[attack("relearn", 3e-4, -6, -4) | leaked], **more)

    stages = [
        leaking(ORACLE, "a", "b"),
        leaking(BASELINE, "a", "b"),
        leaking(BASELINE, "a", region=2),
        leaking(BASELINE, region=3),
    ]
    (found,) = made("leaked_overlap", results(stages))
    assert found["n"] == 1 and found["overlap_mean"] == pytest.approx((1 + 0.5 + 0) / 3)
    sizes = {found["scenario_a"]: found["leaked_a"], found["scenario_b"]: found["leaked_b"]}
    assert sizes == {ORACLE: 2, BASELINE: 1}


def test_a_failed_region_leaves_its_cell_blank_and_is_named_in_the_arms() -> None:
    lost = failed_trial(BASELINE, 2) | {"key": "f" * 64}
    lost["tags"]["region"] = "2"
    stages = [s for s in trials() if (s["tags"]["seed"], s["tags"].get("region")) != ("2", "2")]
    stages.append(lost)
    (found,) = [
        one
        for one in made("main", results(stages))
        if (one["scenario"], one["measure"]) == (BASELINE, "AUES")
    ]
    assert found["status"] == "failed (1 of 9)" and found["mean"] is None
    arms = arms_by_seed(*cells(stages))
    assert [len(one.trials) for one in arms] == [4, 4, 4]
    assert [bool(one.missing) for one in arms] == [False, True, False]
    assert arms[1].missing == ["seed 2: loss is not finite"]
    assert [v is None for v in arms[1].values(lambda s: s["summary"]["aues"])] == [
        False,
        False,
        True,
        False,
    ]


def test_arms_of_a_seed_are_the_true_region_and_then_its_random_ones_in_order() -> None:
    arms = arms_by_seed(*cells())
    assert [one.seed for one in arms] == [1, 2, 3] and not any(one.missing for one in arms)
    values = [one.values(lambda stage: stage["summary"]["aues"]) for one in arms]
    assert values == [AUES[ORACLE][seed] + AUES[BASELINE][seed] for seed in (1, 2, 3)]
    assert arms_of(arms[0].summaries).forget.sum_KPA.shape == (4, 2, 3)


def test_random_regions_stand_among_themselves_for_an_a_a_comparison() -> None:
    _, random = cells()
    alike = alike_by_seed(random)
    values = [one.values(lambda stage: stage["summary"]["aues"]) for one in alike]
    assert values == [AUES[BASELINE][seed] for seed in (1, 2, 3)]
    assert alike_by_seed(cells()[0]) == []


def test_comparisons_take_the_mean_over_regions_and_the_papers_test_the_first() -> None:
    stages = trials()
    sides = [[s["summary"] for s in stages if s["tags"]["scenario"] == name] for name in AUES]
    first = [one for one in sides[1] if "region" not in one]
    record, one = (
        compare(sides[0], side, generator=numpy_generator(0), rounds=50)
        for side in (sides[1], first)
    )
    assert record["seeds"] == [1, 2, 3] and record["n_seeds"] == 3
    assert record["values_b"] == pytest.approx([0.91, 0.89, 0.92])
    assert record["p_alpha_permutation"] == one["p_alpha_permutation"]
    assert one["values_b"] == [0.91, 0.91, 0.94]
    mu95 = compare(sides[0], sides[1], "mu95", generator=numpy_generator(0), rounds=50)
    assert mu95["uncrossed_b"] == [3] and len(mu95["p_pool_split"]) == 3
    with pytest.raises(UserError, match="seed . has several trials in the first scenario"):
        compare(sides[1], sides[0], generator=numpy_generator(0))
    with pytest.raises(UserError, match="seed . has two trials in one scenario"):
        compare(sides[0], [*first, first[-1]], generator=numpy_generator(0))
