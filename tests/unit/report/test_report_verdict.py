"""The verdict's rules at each of their outcomes."""

from typing import Any

import numpy as np
import pytest
from scipy import stats
from support.reports import NOT_ASKED

from lacuna.report import Margins, Results, headline, judge
from lacuna.report.claims.region import MU95
from lacuna.report.claims.rules import decide, sides
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


def control(logp: float = -6.5, es: float = 0.01, attacked: float = 0.97) -> Record:
    """A retained model, attacked like the trials; as it was before, nothing is known."""
    record = trial("", 0, logp, es)["summary"]["attacks"][0]
    record |= {"attacked_es_after": attacked, "others_logp_before": -6.5, "others_es_before": 0.01}
    summary = {"model": "retained", "seed": 0, "attacks": [record]}
    tags = {"model": "retained", "seed": "0"}
    return {"key": "c" * 64, "kind": "control", "label": "", "tags": tags, "summary": summary}


def erasure(
    oracle: list[float],
    random: list[float],
    outcome: str = "logp",
    retained: Record | None = None,
    **more: Any,
) -> list[Record]:
    """Claims about erasure, of seeds whose arms end at these levels; `more` is of every attack."""
    stages = [
        trial(name, seed, **{outcome: value})
        for name, values in (("oracle", oracle), ("random", random))
        for seed, value in enumerate(values)
    ]
    for stage in stages:
        stage["summary"]["attacks"][0] |= more
    results = Results("x", {}, [*stages, retained or control()])
    return [claim for claim in judge(results) if claim["family"][:7] == "erasure"]


def record_of(low: float, high: float, n: int = 4) -> Record:
    """A difference whose 95% t interval is [low, high]: half = t(.975, n - 1) sd / sqrt(n)."""
    middle, half = (low + high) / 2, (high - low) / 2
    unit = np.linspace(-1, 1, n)
    unit *= (half * n**0.5 / stats.t.ppf(0.975, n - 1)) / unit.std(ddof=1)
    return paired((middle + unit).tolist(), [0.0] * n)


@pytest.mark.parametrize(
    ("interval", "verdict", "words"),
    [
        ((-0.05, 0.015), "holds", "better by 0.02 or more is excluded"),
        ((-0.3, 0.019), "holds", "better by 0.02 or more is excluded"),
        ((0.0005, 0.0195), "holds", "better by 0.02 or more is excluded"),
        ((0.0005, 0.0205), "fails", "better, perhaps by less than the margin of 0.02"),
        ((0.021, 0.05), "fails", "better by more than the margin of 0.02"),
        ((-0.001, 0.03), "undetermined", "neither"),
    ],
)
def test_no_better_is_judged_one_sided_against_the_margin(
    interval: tuple[float, float], verdict: str, words: str
) -> None:
    record = record_of(*interval)
    assert record["interval"] == pytest.approx(interval)
    found = decide(record, "no better", 0.02)
    assert found.verdict == verdict
    assert words in found.reason
    p_holds, p_fails = sides(record, "no better", 0.02)
    assert (p_holds < 0.025) == (interval[1] < 0.02)
    assert (p_fails < 0.025) == (interval[0] > 0)


def test_a_verdict_must_stand_after_holms_correction_for_its_family() -> None:
    """Differences with p .02 each of being better: alone it fails, among four it stays open."""
    found = record_of(0.0, 0.1)
    wanted = stats.t.isf(0.02, 3) * found["standard_error"]
    record = paired([value - 0.05 + wanted for value in found["values_a"]], [0.0] * 4)
    place = {"ratio": 0.1, "scenario_a": "oracle", "scenario_b": "random", "metric": "matched"}

    def claims(names: list[str]) -> list[Record]:
        stages = [
            trial(scenario, seed, objective=name)
            for name in names
            for scenario in ("oracle", "random")
            for seed in range(4)
        ]
        compared = [record | place | {"objective": name} for name in names]
        verdict = judge(Results("x", {}, stages, compared))
        return [claim for claim in verdict if claim["family"] == "region-matched"]

    (alone,) = claims(["npo"])
    assert (alone["verdict"], alone["p"], alone["p_holm"]) == ("fails", 0.02, 0.02)
    for claim in claims(["npo", "wga", "dpo", "ga"]):
        assert (claim["verdict"], claim["p_holm"], claim["p_bh"]) == ("undetermined", 0.08, 0.02)
        assert "By itself it fails (p = 0.02), among its 4 claims not" in claim["reason"]


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


def test_claim_says_how_small_its_exact_p_can_get() -> None:
    stages = [trial(name, seed) for name in ("oracle", "random") for seed in range(4)]
    claims = judge(Results("x", {}, stages, [compared([0.21, 0.20, 0.19, 0.20])]))
    claim = next(claim for claim in claims if claim["family"] == "region-aues")
    assert claim["p_sign_flip"] == 0.125
    assert claim["test"] == "t over seeds; sign-flip p cannot be below 0.125"
    low, high = claim["interval"]
    # sd = sqrt(2e-4 / 3), t(0.975, 3) = 3.182446: half-width 0.0129923
    assert (low, high) == pytest.approx((0.1870077, 0.2129923), abs=1e-6)


def test_mu95_that_was_never_reached_is_undetermined_however_narrow_the_interval() -> None:
    record = compared([0.0, 0.1, -0.1], "mu95", uncrossed_a=[2], uncrossed_b=[])
    assert decide(record, MU95.rule, MU95.margin(Margins())).verdict == "undetermined"
    crossed = record | {"uncrossed_a": []}
    assert decide(crossed, MU95.rule, MU95.margin(Margins())).verdict == "holds"


def test_a_failed_trial_leaves_its_claim_undetermined_with_the_reason() -> None:
    stages = [trial(name, seed) for name in ("oracle", "random") for seed in range(3)]
    stages[0] = stages[0] | {"summary": None, "failed": "loss is not finite"}
    record = compared([0.0, 0.0, 0.0]) | {"diff": None, "interval": None}
    record["missing"] = ["seed 0: loss is not finite"]
    claims = judge(Results("x", {}, stages, [record]))
    assert {claim["verdict"] for claim in claims} == {"undetermined"}
    aues = next(claim for claim in claims if claim["family"] == "region-aues")
    assert "loss is not finite" in aues["reason"]


def test_erasure_holds_when_less_comes_back_after_the_true_region() -> None:
    logp, es, _ = erasure([-5.0, -5.1, -4.9], [-3.0, -3.1, -2.95])
    assert (logp["verdict"], logp["role"]) == ("holds", "primary")
    assert logp["effect"] == pytest.approx(-5.0 + 3.01667, abs=1e-5)
    assert "Before the attack: oracle -6, random -6." in logp["reason"]
    assert (es["verdict"], es["role"]) == ("fails", "secondary")


def test_erasure_fails_when_the_true_region_gives_back_as_much_or_more() -> None:
    assert erasure([-3.0, -3.0, -3.0], [-3.01, -3.0, -2.99])[0]["verdict"] == "fails"
    assert erasure([-3.0, -3.1, -2.9], [-5.0, -5.1, -4.95])[0]["verdict"] == "fails"
    assert erasure([0.5, 0.51, 0.49], [0.1, 0.1, 0.1], "es")[1]["verdict"] == "fails"


def test_erasure_is_undetermined_when_seeds_disagree() -> None:
    assert erasure([-5.0, -3.0, -4.0], [-3.0, -5.0, -4.0])[0]["verdict"] == "undetermined"


def test_with_two_seeds_nothing_is_decided() -> None:
    (logp, _, _) = erasure([-5.0, -5.1], [-3.0, -3.1])
    assert (logp["verdict"], logp["reason"][:6]) == ("undetermined", "n = 2:")


@pytest.mark.parametrize(
    ("arms", "more", "words"),
    [
        (([-6.4, -6.5, -6.45], [-6.4, -6.45, -6.5]), {}, "nothing to prevent"),
        (([-5.0, -5.1, -4.9], [-3.0, -3.1, -2.9]), {"attacked_es_after": 0.3}, "did not work"),
        (([-9.0, -9.1, -8.9], [-7.0, -7.1, -6.9]), {}, "nothing to prevent"),
    ],
    ids=["nothing comes back", "the attacker did not learn", "both below the control"],
)
def test_an_attack_that_could_show_nothing_decides_nothing(
    arms: tuple[list[float], list[float]], more: Record, words: str
) -> None:
    logp = erasure(*arms, **more)[0]
    assert logp["verdict"] == "undetermined"
    assert words in logp["reason"]


def test_levels_below_the_control_count_as_the_controls() -> None:
    logp = erasure([-9.0, -9.1, -8.9], [-3.0, -3.1, -2.95])[0]
    assert (logp["verdict"], logp["effect"]) == ("holds", pytest.approx(-6.5 + 3.01667, abs=1e-5))


def test_arms_that_start_apart_decide_nothing() -> None:
    stages = [
        trial(name, seed, value + seed / 100)
        for name, value in (("oracle", -5.0), ("random", -3.0))
        for seed in range(4)
    ]
    for stage in stages[:4]:
        stage["summary"]["attacks"][0]["others_logp_before"] = -8.0
    claim = next(
        claim
        for claim in judge(Results("x", {}, [*stages, control()]))
        if claim["family"] == "erasure-logp"
    )
    assert claim["verdict"] == "undetermined"
    assert "the arms start apart by -2" in claim["reason"]
    assert "attack from a matched start" in claim["reason"]


def started(oracle: float, random: float, start: float | None) -> list[Record]:
    """Attacks from the own start, and from mixtures at these ES; which one decides."""
    stages = []
    for name, value in (("oracle", -5.0), ("random", -3.0)):
        for seed in range(3):
            stages.append(trial(name, seed, value + seed / 100))
            own = stages[-1]["summary"]["attacks"]
            for level in (oracle if name == "oracle" else random, 0.6):
                matched = {"start_level": level, "start_alpha": 0.5, "start_es": level + 0.01}
                own.append(own[0] | matched | {"others_logp_before": -4.0})
    return judge(Results("x", {}, [*stages, control()], start=start))


@pytest.mark.parametrize(
    ("start", "about"),
    [(0.3, ", start at ES 0.3"), (0.6, ", start at ES 0.6"), (None, "")],
)
def test_the_start_that_the_study_names_first_decides(start: float | None, about: str) -> None:
    claims = [c for c in started(0.3, 0.3, start) if c["role"] == "primary"]
    (erased,) = [claim for claim in claims if claim["family"] == "erasure-logp"]
    assert erased["about"] == f"npo at 0.1, relearn lr 0.0003{about}"
    assert erased["verdict"] == "holds"


def test_a_start_that_no_arm_has_is_a_claim_that_stays_open() -> None:
    claims = started(0.3, 0.3, 0.4)
    (erased,) = [c for c in claims if c["family"] == "erasure-logp" and c["role"] == "primary"]
    assert erased["verdict"] == "undetermined"
    assert "seed 2: no mixture has ES 0.4" in erased["reason"]


def test_a_start_that_one_arm_lacks_leaves_its_claim_open() -> None:
    claims = {claim["claim"]: claim for claim in started(0.3, 0.2, 0.3)}
    for level in ("0.3", "0.2"):
        lacking = claims[f"erasure-logp: npo at 0.1, relearn lr 0.0003, start at ES {level}"]
        assert lacking["verdict"] == "undetermined"
        assert f"seed 0: no mixture has ES {level}" in lacking["reason"]


def test_the_gain_over_the_own_start_is_a_secondary_claim() -> None:
    """The control rises from -6.5 to -5.5 by itself; oracle from -8 (raised to -6.5) to -5."""
    stages = [
        trial(name, seed, value + seed / 100)
        for name, value in (("oracle", -5.0), ("random", -3.0))
        for seed in range(4)
    ]
    for stage in stages[:4]:
        stage["summary"]["attacks"][0]["others_logp_before"] = -8.0
    claims = judge(Results("x", {}, [*stages, control(logp=-5.5)]))
    (gain,) = [claim for claim in claims if claim["family"] == "erasure-gain"]
    # 1.5 against 3, from -6 to -3: seeds move alike
    assert gain["effect"] == pytest.approx(-1.5)
    assert (gain["role"], gain["verdict"]) == ("secondary", "holds")


def test_an_attack_that_the_control_does_not_stand_is_not_primary() -> None:
    """A rate that takes from the control what it knew of others would take it from every arm."""
    ruined = control(logp=-8.0)
    assert {c["role"] for c in erasure([-5.0] * 3, [-3.0, -3.1, -2.9], retained=ruined)} == {
        "secondary"
    }


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
    assert lines[2].endswith("random one: holds for 1 of 1 (npo at 0.1); n = 3 seeds.")
    assert "undetermined for 1 of 1" in lines[0]
    assert "fails for 1 of 1 (activations at 0.1 region)" in lines[-1]
