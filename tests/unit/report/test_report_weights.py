"""The report of a weight-level study: precision with its nulls, resurfacing, the causal label."""

from typing import Any

import pytest
from support.reports import Record, comparison, localized, stage
from support.reports import control as plain_control
from support.reports import trial as plain_trial

from lacuna.report import Results, judge
from lacuna.report.causal import causal
from lacuna.report.evidence import localization
from lacuna.report.leaks import leaked_overlap
from lacuna.report.ledger import work
from lacuna.report.page import page
from lacuna.report.precision import precision
from lacuna.report.resurfacing import resurfacing
from lacuna.report.tables import tables

SEEDS = (1, 2, 3, 4)
NAMES = ("0.1%", "1%", "5%", "10%", "at_size")


def score_row(truth: str, score: str, auc: float, **nulls: float) -> Record:
    """As `lacuna.audit.precision` writes it."""
    row: Record = {"truth": truth, "score": score, "headline": score == "raw", "chance": 0.194}
    areas = {"": auc, "noise_": 0.5, "random_": 0.5, "magnitude_": 0.83}
    areas |= {f"{name}_": value for name, value in nulls.items()}
    for prefix, area in areas.items():
        row |= {f"{prefix}auc": area, f"{prefix}auc_error": 0.0, f"{prefix}precision_error": 0.0}
        row |= {f"{prefix}{name}": 0.194 + (area - 0.5) for name in NAMES}
    return row


def precise(auc: float, seed: int) -> Record:
    rows = [
        score_row("forget", "qtile", auc - 0.01, noise=0.499),
        score_row("forget", "raw", auc + 0.001 * (seed - 2.5)),
        score_row("forget", "reversal", 0.53, noise=0.879),
        score_row("union", "raw", 0.5 + (auc - 0.5) / 2),
    ]
    inside = [
        {"truth": t, "share": 0.194, "changed": 6000, "energy_inside": 0.2}
        for t in ("forget", "union")
    ]
    best = [{"truth": "forget", "score": "reversal", "auc": 0.53, "noise_auc": 0.879}]
    return {
        "headline": "raw", "scored_weights": 10000, "scored_tensors": 21, "exact": True,
        "scores": rows, "inside": inside, "best": best, "tensors": [],
    }  # fmt: skip


def relearned(logp: float, success: float, start: float | None = None) -> Record:
    """As `lacuna.attack` writes an `Outcome`."""
    return {
        "attack": "lora", "lr": 3e-3, "n_attacked": 36, "n_others": 72, "attacked_es_after": 0.98,
        "others_es_before": 0.03, "others_es_after": 0.1, "others_logp_before": -6.0,
        "others_logp_after": logp, "k": 20, "leaked_before": ["a"], "leaked_after": ["a", "b"],
        "leaked_overlap": 0.5, "success_before": success / 2, "success_after": success,
        "start_alpha": start, "start_es": None if start is None else 0.3,
        "start_retain_es": None if start is None else 0.9,
    }  # fmt: skip


def trial(scenario: str, seed: int, auc: float, logp: float, matched: bool = True) -> Record:
    attacks = [relearned(logp + 0.01 * seed, 0.2)]
    if matched:
        attacks.append(relearned(logp + 1, 0.4, start=0.25))
    return plain_trial(scenario, seed, attacks=attacks, precision=precise(auc, seed))


def control(model: str, seed: int) -> Record:
    found = plain_control(model, seed)
    found["summary"]["attacks"] = [relearned(-4.0 if model == "retained" else -0.4, 0.01)]
    return found


def injected(seed: int, passed: bool) -> Record:
    failures = [] if passed else ["share that others keep 0.071, asked >= 0.85"]
    others = [0.95, 0.97] if passed else [0.07, 0.13]
    report = {
        "injected": {"0": 0.96, "1": 0.99}, "own": [0.02, 0.04], "others": others,
        "joint": {"forget": {"own": 0.02, "others": 0.58}}, "perturbed": [0.9, 0.8],
        "neutral": {"base": 1.2, "injected": 1.1}, "people": {"base": 1.0, "injected": 0.3},
        "failures": failures, "passed": passed,
        "label": "localized" if passed else f"not localized causally: {failures[0]}",
    }  # fmt: skip
    summary = {"seed": seed, "ratio": 0.1, "forget_es": 1.0, "retain_es": 0.99, "causal": report}
    return stage("injected", {"seed": seed, "ratio": 0.1}, summary)


def study(failing: tuple[int, ...] = (3,)) -> Results:
    stages = [injected(seed, seed not in failing) for seed in SEEDS]
    for seed in SEEDS:
        stages += [
            trial("oracle", seed, 1.0, -2.6),
            trial("random", seed, 0.5, -2.4, matched=seed != 4),
            trial("full", seed, 0.501, -2.1),
            *(control(model, seed) for model in ("retained", "injected")),
        ]
    comparisons = [comparison([s for s in stages if s["kind"] == "trial"], "aues")]
    return Results("lacuna", {}, stages, comparisons)


def rows_where(table: Any, **wanted: Any) -> list[Record]:
    return [row for row in table.rows if all(row[name] == v for name, v in wanted.items())]


def test_precision_has_the_headline_first_and_its_nulls_beside_it() -> None:
    table = precision(study().stages)
    (row, *others) = rows_where(table, scenario="full", truth="forget")
    assert (row["score"], row["headline"], row["n"]) == ("raw", True, 4)
    assert row["auc_mean"] == pytest.approx(0.501)
    assert row["auc_noise"] == row["auc_random"] == 0.5 and row["auc_magnitude"] == 0.83
    assert row["p@1%"] == pytest.approx(0.195) and row["p@1%_noise"] == pytest.approx(0.194)
    assert row["changed"] == pytest.approx(0.6) and row["chance"] == pytest.approx(0.194)
    assert [row["score"] for row in others] == ["qtile", "reversal"]


def test_a_composite_score_is_read_above_its_own_null_only() -> None:
    table = precision(study().stages)
    rows = {row["score"]: row for row in rows_where(table, scenario="oracle", truth="forget")}
    assert list(rows) == ["raw", "qtile", "reversal"], "the headline first"
    assert rows["qtile"]["above_null"] == pytest.approx(0.99 - 0.83)
    assert rows["reversal"]["auc_noise"] == 0.879
    assert rows["reversal"]["above_null"] == pytest.approx(0.53 - 0.879)
    (union,) = rows_where(table, scenario="oracle", truth="union")
    assert union["auc_mean"] == pytest.approx(0.75)
    assert union["above_null"] == pytest.approx(0.75 - 0.83)


def test_a_failed_trial_blanks_its_precision_and_counts() -> None:
    results = study()
    stages = [*results.stages, trial("full", 5, 0.5, -2.0) | {"summary": None, "failed": "NaN"}]
    (row, *_) = rows_where(precision(stages), scenario="full", truth="forget")
    assert row["status"] == "failed (1 of 5)" and row["auc_mean"] is None


def test_resurfacing_is_the_end_level_beside_the_retained_models() -> None:
    table = resurfacing(study().stages)
    (row,) = rows_where(table, scenario="oracle", measure="logp", start=None)
    assert row["after_mean"] == pytest.approx(-2.575) and row["before_mean"] == -6.0
    assert row["retained_mean"] == -4.0 and row["above_retained"] == pytest.approx(1.425)
    assert row["above_retained_lo"] < 1.425 < row["above_retained_hi"]
    assert (row["k"], row["leaked_overlap"], row["n"]) == (20, 0.5, 4)
    (success,) = rows_where(table, scenario="oracle", measure="success", start=None)
    assert success["above_retained"] == pytest.approx(0.19)
    (damage,) = rows_where(table, scenario="injected", measure="logp")
    assert damage["above_retained"] == pytest.approx(3.6)
    assert not rows_where(table, scenario="retained")


def test_a_matched_start_stands_apart_and_may_be_missing_for_a_seed() -> None:
    table = resurfacing(study().stages)
    (row,) = rows_where(table, scenario="random", measure="logp", start="matched")
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
    table = leaked_overlap(stages)
    pairs = {(row["scenario_a"], row["scenario_b"]): row for row in table.rows}
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
    (row,) = leaked_overlap(stages).rows
    assert row["status"] == "failed (1 of 4)" and row["overlap_mean"] is None
    plain = [plain_trial(scenario, 1) for scenario in ("oracle", "full")]
    assert not leaked_overlap(plain).rows


def test_the_causal_table_holds_what_the_reports_hold() -> None:
    rows = causal(study().stages).rows
    assert [row["passed"] for row in rows] == [True, True, False, True]
    assert rows[0]["es_weakest"] == 0.96 and rows[0]["own_highest"] == 0.04
    assert rows[0]["others_keep"] == pytest.approx(0.96)
    assert rows[2]["others_keep_lowest"] == 0.07 and "0.071" in rows[2]["label"]
    assert rows[0]["joint_forget_others"] == 0.58 and rows[0]["joint_retain_others"] is None


def test_an_undefined_share_blanks_its_column_only() -> None:
    found = injected(1, passed=False)
    found["summary"]["causal"]["others"] = [0.9, None]
    (row,) = causal([found]).rows
    assert row["others_keep"] is None and row["others_keep_lowest"] is None
    assert row["es_weakest"] == 0.96 and row["perturbed_keep"] == pytest.approx(0.85)


def test_a_checkpoint_that_fails_is_labelled_wherever_its_numbers_stand() -> None:
    results = study()
    made = {table.name: table for table in tables(results)}
    for name in ("main", "precision", "resurfacing", "attacks"):
        texts = {row["checkpoint"] for row in made[name].rows if row["ratio"] == 0.1}
        assert texts <= {"localized", "not localized causally (seed 3)"}
        assert "not localized causally (seed 3)" in texts
        assert made[name].columns[-2:] == ("checkpoint", "keys")
    assert {row["checkpoint"] for row in made["curves"].rows if row["seed"] == 1} == {"localized"}
    verdict = judge(results)
    assert all("not localized causally (seed 3)" in claim["reason"] for claim in verdict)
    text = page(results, list(made.values()), work(results), verdict)
    assert text.count("not localized causally (seed 3)") > len(verdict)
    assert "Causal localization" in text and "Localization precision" in text
    assert '<small class="published"' not in text  # those cells are of value vectors


def test_a_study_without_reports_is_as_it_was() -> None:
    trials = [plain_trial(s, seed) for s in ("oracle", "random") for seed in (1, 2, 3)]
    results = Results("mini", {}, trials)
    made = {table.name: table for table in tables(results)}
    assert "checkpoint" not in made["main"].columns
    assert not {"precision", "causal"} & made.keys()
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


def test_chance_is_the_share_of_what_is_to_forget_not_of_one_mask() -> None:
    results = study(failing=())
    stages = [*results.stages, *(localized("snip", seed, 0.194) for seed in SEEDS)]
    found = claims(Results("lacuna", {}, stages, results.comparisons))
    assert found["localization: snip at 0.1 region"]["effect"] == pytest.approx(0)
    (row,) = rows_where(localization(stages), subject="localizer", name="snip")
    assert row["chance"] == pytest.approx(0.194)


def test_a_matched_start_that_one_seed_lacks_leaves_its_claim_open() -> None:
    found = claims(study(failing=()))
    matched = found["erasure-logp: npo at 0.1, lora lr 0.003, matched start"]
    assert matched["verdict"] == "undetermined" and "seed 4" in matched["reason"]
    whole = found["beyond-logp: npo at 0.1, lora lr 0.003, matched start, against full"]
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
