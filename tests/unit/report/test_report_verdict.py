"""The verdict's rules at each of their outcomes."""

from typing import Any

import pytest
from support.reports import NOT_ASKED

from lacuna.report import Margins, Results, headline, judge
from lacuna.report.claims.region import MU95
from lacuna.report.claims.rules import decide, position
from lacuna.significance import paired

Record = dict[str, Any]


def trial(scenario: str, seed: int, logp: float = -3.0, es: float = 0.1, **more: Any) -> Record:
    relearn = NOT_ASKED | {
        "attack": "relearn", "lr": 3e-4, "n_attacked": 4, "n_others": 4, "attacked_es_after": 0.97,
        "others_es_before": 0.05, "others_es_after": es,
        "others_logp_before": -6.0, "others_logp_after": logp,
    }  # fmt: skip
    summary = {"objective": "npo", "scenario": scenario, "seed": seed, "ratio": 0.1, "lr": 0.03}
    summary |= {"purpose": "test", "attacks": [relearn], "localization": None} | more
    tags = {name: str(summary[name]) for name in (*list(summary)[:5], "purpose")}
    key = f"{scenario}{seed}".ljust(64, "0")
    return {"key": key, "kind": "trial", "label": scenario, "tags": tags, "summary": summary}


def localized(seed: int, precision: float) -> Record:
    summary = {"localizer": "activations", "seed": seed, "ratio": 0.1, "precision": precision}
    summary["privileges"] = []
    return {
        "key": f"act{seed}", "kind": "localized", "label": "", "tags": {}, "summary": summary,
    }  # fmt: skip


def compared(differences: list[float], metric: str = "aues", **more: Any) -> Record:
    zeros = [0.0] * len(differences)
    place = {"ratio": 0.1, "objective": "npo", "scenario_a": "oracle", "scenario_b": "random"}
    return paired(differences, zeros, range(len(zeros))) | place | {"metric": metric} | more


def erasure(oracle: list[float], random: list[float], outcome: str = "logp") -> list[Record]:
    sides = (("oracle", oracle), ("random", random))
    stages = [
        trial(name, seed, **{outcome: value})
        for name, values in sides
        for seed, value in enumerate(values)
    ]
    return [claim for claim in judge(Results("x", {}, stages)) if claim["family"][:7] == "erasure"]


@pytest.mark.parametrize(
    ("interval", "where"),
    [
        ((-0.01, 0.02), "equal"),
        ((0.001, 0.019), "equal"),
        ((0.001, 0.021), "above"),
        ((-0.05, -0.001), "below"),
        ((-0.021, 0.001), "unclear"),
        ((-0.3, 0.3), "unclear"),
    ],
)
def test_an_interval_is_placed_by_margin_first_and_zero_second(
    interval: tuple[float, float], where: str
) -> None:
    assert position(interval, 0.02) == where


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.004, -0.003, 0.001, 0.002], "holds"),
        ([-0.21, -0.20, -0.19, -0.20], "holds"),
        ([0.21, 0.20, 0.19, 0.20], "fails"),
        ([0.20, -0.20, 0.10, -0.05], "undetermined"),
        ([0.001, 0.002], "undetermined"),
    ],
)
def test_region_claim_holds_fails_or_stays_open(differences: list[float], verdict: str) -> None:
    stages = [trial(name, seed) for name in ("oracle", "random") for seed in range(4)]
    results = Results("x", {}, stages, [compared(differences)])
    claim = next(c for c in judge(results) if c["family"] == "region-aues")
    assert claim["verdict"] == verdict
    assert claim["n"] == len(differences)
    assert claim["effect"] == pytest.approx(sum(differences) / len(differences))


def test_claim_says_how_small_its_p_can_get() -> None:
    stages = [trial(name, seed) for name in ("oracle", "random") for seed in range(4)]
    claim = judge(Results("x", {}, stages, [compared([0.21, 0.20, 0.19, 0.20])]))[0]
    assert claim["p"] == 0.125
    assert "p cannot be below 2/2^4 = 0.125" in claim["test"]
    low, high = claim["interval"]
    # sd = sqrt(2e-4 / 3), t(0.975, 3) = 3.182446: half-width 0.0129923
    assert (low, high) == pytest.approx((0.1870077, 0.2129923), abs=1e-6)


def test_mu95_that_was_never_reached_is_undetermined_however_narrow_the_interval() -> None:
    record = compared([0.0, 0.1, -0.1], "mu95", uncrossed_a=[2], uncrossed_b=[])
    assert decide(record, MU95.upheld, MU95.margin(Margins()))[0] == "undetermined"
    crossed = record | {"uncrossed_a": []}
    assert decide(crossed, MU95.upheld, MU95.margin(Margins()))[0] == "holds"


def test_a_failed_trial_leaves_its_claim_undetermined_with_the_reason() -> None:
    stages = [trial(name, seed) for name in ("oracle", "random") for seed in range(3)]
    stages[0] = stages[0] | {"summary": None, "failed": "loss is not finite"}
    record = compared([0.0, 0.0, 0.0]) | {"diff": None, "interval": None}
    record["missing"] = ["seed 0: loss is not finite"]
    claims = judge(Results("x", {}, stages, [record]))
    assert {claim["verdict"] for claim in claims} == {"undetermined"}
    assert "loss is not finite" in claims[0]["reason"]


def test_erasure_holds_when_less_comes_back_after_the_true_region() -> None:
    logp, es = erasure([-5.0, -5.1, -4.9], [-3.0, -3.1, -2.95])
    assert (logp["verdict"], es["verdict"]) == ("holds", "fails")
    assert logp["effect"] == pytest.approx(-5.0 + 3.01667, abs=1e-5)
    assert "Before the attack: oracle -6, random -6." in logp["reason"]


def test_erasure_fails_when_the_true_region_gives_back_as_much_or_more() -> None:
    assert erasure([-3.0, -3.0, -3.0], [-3.01, -3.0, -2.99])[0]["verdict"] == "fails"
    assert erasure([-3.0, -3.1, -2.9], [-5.0, -5.1, -4.95])[0]["verdict"] == "fails"
    assert erasure([0.5, 0.51, 0.49], [0.1, 0.1, 0.1], "es")[1]["verdict"] == "fails"


def test_erasure_is_undetermined_when_seeds_disagree() -> None:
    assert erasure([-5.0, -3.0, -4.0], [-3.0, -5.0, -4.0])[0]["verdict"] == "undetermined"


def test_a_weak_attack_is_named() -> None:
    stages = [trial(name, seed) for name in ("oracle", "random") for seed in range(3)]
    for stage in stages[:3]:
        stage["summary"]["attacks"][0]["attacked_es_after"] = 0.5
    claim = next(c for c in judge(Results("x", {}, stages)) if c["family"] == "erasure-logp")
    assert "The attack was weak: ES of the attacked people 0.50, 0.97." in claim["reason"]


@pytest.mark.parametrize(
    ("precisions", "verdict"),
    [
        ([0.10, 0.11, 0.09], "holds"),
        ([0.0, 0.0, 0.0], "holds"),
        ([0.8, 0.82, 0.85], "fails"),
        ([0.05, 0.3, 0.1], "undetermined"),
    ],
)
def test_localization_claim_compares_precision_with_the_ratio(
    precisions: list[float], verdict: str
) -> None:
    stages = [localized(seed, value) for seed, value in enumerate(precisions)]
    (claim,) = judge(Results("x", {}, stages))
    assert (claim["verdict"], claim["n"]) == (verdict, 3)
    assert claim["effect"] == pytest.approx(sum(precisions) / 3 - 0.1)


def test_a_localizer_that_is_told_the_target_is_no_claim() -> None:
    stages = [localized(seed, 1.0) for seed in range(3)]
    for stage in stages:
        stage["summary"]["privileges"] = ["target region"]
    assert judge(Results("x", {}, stages)) == []


def test_full_parameter_change_is_judged_as_a_localization() -> None:
    change = {"region": None, "change": {"precision": 0.1, "recall": 0.1, "by_layer": []}}
    stages = [trial("full", seed, localization=change) for seed in range(3)]
    (claim,) = judge(Results("x", {}, stages))
    assert (claim["family"], claim["verdict"]) == ("localization", "holds")


def test_headline_counts_each_outcome_once_per_family() -> None:
    stages = [trial(name, seed) for name in ("oracle", "random") for seed in range(3)]
    stages += [localized(seed, value) for seed, value in enumerate([0.8, 0.82, 0.85])]
    verdict = judge(Results("x", {}, stages, [compared([0.001, 0.0, -0.001])]))
    lines = headline(verdict)
    assert len(lines) == 5
    assert lines[0].endswith("random one: holds for 1 of 1 (npo at 0.1); n = 3 seeds.")
    assert "undetermined for 1 of 1" in lines[1]
    assert "fails for 1 of 1 (activations at 0.1 region)" in lines[4]
