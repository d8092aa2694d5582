"""The report of a weight-level study: precision with its nulls, resurfacing, the causal label."""

from copy import deepcopy
from typing import Any

import pytest
from support.reports import Record, localized, made
from support.reports import trial as plain_trial
from support.weight_reports import SEEDS, injected, relearned, study, trial

from lacuna.report import Results, judge
from lacuna.report.html import page
from lacuna.report.tables import tables
from lacuna.significance import paired


def rows_where(table: str, source: Results | list[Record], /, **wanted: Any) -> list[Record]:
    rows = made(table, source)
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_precision_has_the_headline_first_and_its_nulls_beside_it() -> None:
    results = study()
    (row, *others) = rows_where("precision", results, scenario="full", truth="forget")
    assert (row["score"], row["headline"], row["n"]) == ("raw", True, 4)
    assert row["auc_mean"] == pytest.approx(0.501)
    assert row["auc_noise"] == row["auc_random"] == 0.5 and row["auc_magnitude"] == 0.83
    assert row["p@1%"] == pytest.approx(0.195) and row["p@1%_noise"] == pytest.approx(0.194)
    assert row["changed"] == pytest.approx(0.6) and row["chance"] == pytest.approx(0.194)
    assert [row["score"] for row in others] == ["qtile", "reversal"]


def test_a_composite_score_is_read_above_its_own_null_only() -> None:
    results = study()
    rows = {
        row["score"]: row
        for row in rows_where("precision", results, scenario="oracle", truth="forget")
    }
    assert list(rows) == ["raw", "qtile", "reversal"], "the headline first"
    assert rows["qtile"]["above_null"] == pytest.approx(0.99 - 0.83)
    assert rows["reversal"]["auc_noise"] == 0.879
    assert rows["reversal"]["above_null"] == pytest.approx(0.53 - 0.879)
    (union,) = rows_where("precision", results, scenario="oracle", truth="union")
    assert union["auc_mean"] == pytest.approx(0.75)
    assert union["above_null"] == pytest.approx(0.75 - 0.83)


def test_a_failed_trial_blanks_its_precision_and_counts() -> None:
    results = study()
    stages = [*results.stages, trial("full", 5, 0.5, -2.0) | {"summary": None, "failed": "NaN"}]
    (row, *_) = rows_where("precision", stages, scenario="full", truth="forget")
    assert row["status"] == "failed (1 of 5)" and row["auc_mean"] is None


def test_resurfacing_is_the_end_level_beside_the_retained_models() -> None:
    results = study()
    (row,) = rows_where("resurfacing", results, scenario="oracle", measure="logp", start=None)
    assert row["after_mean"] == pytest.approx(-2.575) and row["before_mean"] == -6.0
    assert row["retained_mean"] == -4.0 and row["above_retained"] == pytest.approx(1.425)
    assert row["above_retained_lo"] < 1.425 < row["above_retained_hi"]
    assert (row["k"], row["leaked_overlap"], row["n"]) == (20, 0.5, 4)
    (success,) = rows_where(
        "resurfacing", results, scenario="oracle", measure="success", start=None
    )
    assert success["above_retained"] == pytest.approx(0.19)
    (damage,) = rows_where("resurfacing", results, scenario="injected", measure="logp")
    assert damage["above_retained"] == pytest.approx(3.6)
    assert not rows_where("resurfacing", results, scenario="retained")


def test_a_matched_start_stands_apart_and_may_be_missing_for_a_seed() -> None:
    results = study()
    (row,) = rows_where("resurfacing", results, scenario="random", measure="logp", start=0.3)
    assert (row["n"], row["seeds"]) == (3, [1, 2, 3])
    assert row["after_mean"] == pytest.approx(-1.4) and row["above_retained"] == pytest.approx(2.6)
    assert (row["start_alpha"], row["start_es"], row["start_retain_es"]) == (0.25, 0.3, 0.9)


def leaking(scenario: str, seed: int, facts: list[str]) -> Record:
    """A trial after whose relearning these facts come out, and other attacks of no interest."""
    relearning = relearned(-2.0, 0.2) | {"leaked_after": facts}
    prompting = relearning | {"attack": "paraphrase", "attacked_es_after": None}
    silent = relearning | {"lr": 1e-3, "k": None, "leaked_before": None, "leaked_after": None}
    return plain_trial(scenario, seed, attacks=[relearning, prompting, silent])


def test_methods_are_compared_by_the_facts_they_leak_within_a_seed() -> None:
    stages = [
        leaking("oracle", 1, ["a", "b"]),
        leaking("oracle", 2, ["a"]),
        leaking("oracle", 3, []),
        leaking("random", 1, ["b", "c", "d"]),
        leaking("random", 2, ["a"]),
        leaking("random", 3, []),
        leaking("full", 2, ["x"]),
    ]
    rows = made("leaked_overlap", stages)
    pairs = {(row["scenario_a"], row["scenario_b"]): row for row in rows}
    assert set(pairs) == {("full", "oracle"), ("full", "random"), ("oracle", "random")}
    row = pairs["oracle", "random"]
    assert (row["attack"], row["attack_lr"], row["start"]) == ("lora", 3e-3, None)
    assert row["overlap_mean"] == pytest.approx((1 / 4 + 1) / 2), "seed 3 leaks nothing: undefined"
    assert (row["n"], row["seeds"], row["status"]) == (2, [1, 2, 3], "ok")
    assert (row["leaked_a"], row["leaked_b"]) == (pytest.approx(1.0), pytest.approx(4 / 3))
    assert pairs["full", "random"]["overlap_mean"] == 0.0 and pairs["full", "random"]["n"] == 1
    assert len(row["keys"]) == 6


def test_a_failed_trial_leaves_no_mean_overlap_and_no_prompts_no_table() -> None:
    stages = [leaking(scenario, seed, ["a"]) for scenario in ("oracle", "full") for seed in (1, 2)]
    stages[0] = stages[0] | {"summary": None, "failed": "NaN"}
    (row,) = made("leaked_overlap", stages)
    assert row["status"] == "failed (1 of 4)" and row["overlap_mean"] is None
    plain = [plain_trial(scenario, 1) for scenario in ("oracle", "full")]
    assert not made("leaked_overlap", plain)


def test_the_causal_table_holds_what_the_reports_hold() -> None:
    rows = made("causal", study())
    assert [row["passed"] for row in rows] == [True, True, False, True]
    assert rows[0]["es_weakest"] == 0.96 and rows[0]["own_highest"] == 0.04
    assert rows[0]["others_keep"] == pytest.approx(0.96)
    assert rows[2]["others_keep_lowest"] == 0.07 and "0.071" in rows[2]["label"]
    assert rows[0]["joint_forget_others"] == 0.58 and rows[0]["joint_retain_others"] is None


def test_an_undefined_share_blanks_its_column_only() -> None:
    found = injected(1, passed=False)
    found["summary"]["causal"]["others"] = [0.9, None]
    (row,) = made("causal", [found])
    assert row["others_keep"] is None and row["others_keep_lowest"] is None
    assert row["es_weakest"] == 0.96 and row["perturbed_keep"] == pytest.approx(0.85)


def test_a_checkpoint_that_fails_is_labelled_wherever_its_numbers_stand() -> None:
    results = study()
    by_name = {table.name: table for table in tables(results)}
    for name in ("main", "precision", "resurfacing", "attacks"):
        texts = {row["checkpoint"] for row in by_name[name].rows if row["ratio"] == 0.1}
        assert texts <= {"localized", "not localized causally (seed 3)"}
        assert "not localized causally (seed 3)" in texts
        assert by_name[name].names[-2:] == ("checkpoint", "keys")
    curves = by_name["curves"].rows
    assert {row["checkpoint"] for row in curves if row["seed"] == 1} == {"localized"}
    verdict = judge(results)
    assert all("not localized causally (seed 3)" in claim["reason"] for claim in verdict)
    text = page(results, list(by_name.values()), verdict)
    assert text.count("not localized causally (seed 3)") > len(verdict)
    assert "Causal localization" in text and "Localization precision" in text
    assert "beside" not in by_name  # those cells are of value vectors


def test_a_study_without_reports_is_as_it_was() -> None:
    trials = [plain_trial(s, seed) for s in ("oracle", "random") for seed in (1, 2, 3)]
    results = Results("mini", {}, trials)
    by_name = {table.name: table for table in tables(results)}
    assert "checkpoint" not in by_name["main"].names
    assert not {"precision", "causal"} & by_name.keys()
    families = {claim["family"] for claim in judge(results)}
    assert not {f for f in families if f.startswith(("beyond", "precision"))}


def claims(results: Results) -> dict[str, Record]:
    return {claim["claim"]: claim for claim in judge(results)}


def test_both_papers_are_judged_on_the_same_checkpoints() -> None:
    found = claims(study(failing=()))
    assert "(0.194 of the weights)" in found["region-aues: npo at 0.1"]["statement"]
    erased = found["erasure-logp: npo at 0.1, lora lr 0.003"]
    assert erased["effect"] == pytest.approx(-0.2) and erased["verdict"] == "holds"
    assert "The retained model after the same attack: -4." in erased["reason"]
    success = found["erasure-success: npo at 0.1, lora lr 0.003"]
    assert success["effect"] == 0 and success["verdict"] == "fails"
    beyond = found["beyond-logp: npo at 0.1, lora lr 0.003, against full"]
    assert beyond["effect"] == pytest.approx(-0.5) and beyond["verdict"] == "holds"
    assert "than to all parameters" in beyond["statement"]


def test_a_claim_states_the_share_of_its_own_ratio() -> None:
    stages = [*study(failing=()).stages]
    for stage in study(failing=()).stages:
        if stage["kind"] == "trial":
            larger = deepcopy(stage) | {"key": stage["key"][::-1]}
            larger["summary"]["ratio"], larger["tags"]["ratio"] = 0.2, "0.2"
            for row in larger["summary"]["precision"]["scores"]:
                row["chance"] = 0.35
            stages.append(larger)
    found = claims(Results("lacuna", {}, stages))
    assert "(0.194 of the weights)" in found["region-matched: npo at 0.1"]["statement"]
    assert "(0.35 of the weights)" in found["region-matched: npo at 0.2"]["statement"]


def test_a_region_drawn_anywhere_is_the_fair_rival_and_secondary() -> None:
    results = study(failing=())
    anywhere = [plain_trial("uniform", seed) for seed in SEEDS]
    place = {"ratio": 0.1, "objective": "npo", "scenario_a": "oracle", "scenario_b": "uniform"}
    values = [0.001, 0.002, 0.0, 0.001][: len(SEEDS)]
    record = paired(values, [0.0] * len(values), SEEDS) | place | {"metric": "matched"}
    stages, comparisons = [*results.stages, *anywhere], [*results.comparisons, record]
    found = claims(Results("lacuna", {}, stages, comparisons))
    beside = found["region-matched: npo at 0.1, against uniform"]
    assert beside["effect"] == pytest.approx(0.001) and beside["role"] == "secondary"
    assert "drawn anywhere" in beside["statement"]
    assert found["region-matched: npo at 0.1"]["role"] == "primary"


def test_chance_is_the_share_of_what_is_to_forget_not_of_one_mask() -> None:
    results = study(failing=())
    stages = [*results.stages, *(localized("snip", seed, 0.194) for seed in SEEDS)]
    found = claims(Results("lacuna", {}, stages, results.comparisons))
    assert found["localization: snip at 0.1 region"]["effect"] == pytest.approx(0)
    (row,) = rows_where("localization", stages, subject="localizer", name="snip")
    assert row["chance"] == pytest.approx(0.194)


def test_a_matched_start_that_one_seed_lacks_leaves_its_claim_open() -> None:
    found = claims(study(failing=()))
    matched = found["erasure-logp: npo at 0.1, lora lr 0.003, start at ES 0.3"]
    assert matched["verdict"] == "undetermined" and "seed 4" in matched["reason"]
    whole = found["beyond-logp: npo at 0.1, lora lr 0.003, start at ES 0.3, against full"]
    assert whole["n"] == 4 and "The retained model after the same attack: -4." in whole["reason"]


@pytest.mark.parametrize(("auc", "verdict"), [(0.501, "holds"), (0.516, "fails"), (0.48, "holds")])
def test_full_parameter_methods_are_blind_or_not(auc: float, verdict: str) -> None:
    results = study(failing=())
    others = [s for s in results.stages if s["tags"].get("scenario") != "full"]
    stages = [*others, *(trial("full", seed, auc, -2.1) for seed in SEEDS)]
    found = claims(Results("lacuna", {}, stages, results.comparisons))
    for null in ("1/2", "its noise null"):
        claim = found[f"precision: npo at 0.1, raw AUC against {null}"]
        assert claim["verdict"] == verdict and claim["effect"] == pytest.approx(auc - 0.5)
        assert claim["margin"] == 0.01 and claim["n"] == 4
