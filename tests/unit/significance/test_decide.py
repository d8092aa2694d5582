"""Verdicts: the rules at each of their edges, and the cases that an earlier verdict got wrong."""

from dataclasses import replace

import numpy as np
import pytest

from lacuna.errors import UserError
from lacuna.significance import (
    Assay,
    Curve,
    compare_curves,
    enough,
    erases_more,
    floored,
    holm,
    insensitive,
    no_better,
    paired,
    t_interval,
    two_way_t,
)
from lacuna.significance.decide import Verdict

WORKING = Assay(attacked_a=0.97, attacked_b=0.95, above_control=(0.8, 1.4))


@pytest.mark.parametrize(
    ("low", "high", "verdict", "words"),
    [
        (-0.05, 0.015, "holds", "better by 0.02 or more is excluded"),
        (-0.3, 0.019, "holds", "excluded"),
        (-0.01, 0.0199, "holds", "excluded"),
        (0.0005, 0.0195, "holds", "excluded"),
        (0.0005, 0.0205, "fails", "better, perhaps by less than the margin of 0.02"),
        (0.005, 0.02, "fails", "perhaps by less"),
        (0.02, 0.09, "fails", "perhaps by less"),
        (0.021, 0.09, "fails", "better by more than the margin of 0.02"),
        (0.0, 0.05, "undetermined", "neither"),
        (-0.01, 0.02, "undetermined", "neither"),
        (-0.5, 0.5, "undetermined", "neither"),
    ],
)
def test_no_better_is_judged_one_sided(
    low: float, high: float, verdict: Verdict, words: str
) -> None:
    found = no_better(low, high, 0.02)
    assert found.verdict == verdict
    assert words in found.reason


@pytest.mark.parametrize(
    ("low", "high", "verdict", "words"),
    [
        (-0.6, -0.2, "holds", "less comes back by more than the margin of 0.1"),
        (-0.6, -0.05, "holds", "less comes back, perhaps by less than the margin of 0.1"),
        (-0.1, -0.05, "holds", "perhaps by less"),
        (-0.09, -0.05, "fails", "less by 0.1 or more is excluded"),
        (-0.02, 0.4, "fails", "excluded"),
        (0.1, 0.4, "fails", "excluded"),
        (-0.6, 0.0, "undetermined", "neither"),
        (-0.1, 0.3, "undetermined", "neither"),
    ],
)
def test_erasing_more_is_the_mirror_of_it(
    low: float, high: float, verdict: Verdict, words: str
) -> None:
    found = erases_more(low, high, 0.1, WORKING)
    assert found.verdict == verdict
    assert words in found.reason
    opposite = {"holds": "fails", "fails": "holds", "undetermined": "undetermined"}
    assert no_better(-high, -low, 0.1).verdict == opposite[verdict]


@pytest.mark.parametrize("seed", range(20))
def test_narrowing_an_interval_never_swaps_a_verdict(seed: int) -> None:
    """Any interval inside one that decided decides the same."""
    generator = np.random.default_rng(seed)
    low, high = sorted(generator.normal(0, 0.03, 2))
    inner = sorted(generator.uniform(low, high, 2))
    wide, narrow = no_better(low, high, 0.02).verdict, no_better(*inner, 0.02).verdict
    if wide == "holds":
        assert narrow == "holds"
    if wide == "fails" and low > 0.02:
        assert narrow == "fails"


# What follows are cases in which an earlier form of the verdict was wrong or overclaimed.


def test_nothing_comes_back_in_either_arm() -> None:
    nothing = replace(WORKING, above_control=(-0.01, 0.01))
    found = erases_more(0.0, 0.0, 0.02, nothing)
    assert found.verdict == "undetermined"
    assert "nothing to prevent" in found.reason and "lower bound -0.01" in found.reason


def test_the_attacker_did_not_learn() -> None:
    for weak, arm in (
        (replace(WORKING, attacked_a=0.3), "with the true region"),
        (replace(WORKING, attacked_b=0.3), "with its rival"),
    ):
        found = erases_more(-0.9, -0.5, 0.1, weak)
        assert found.verdict == "undetermined"
        assert f"the attack did not work {arm}: ES of the attacked people is 0.30" in found.reason
    assert erases_more(-0.9, -0.5, 0.1, replace(WORKING, attacked_b=0.9)).verdict == "holds"


def test_both_arms_end_below_a_model_that_never_knew() -> None:
    control = np.full(3, -2.5)
    a, b = floored([-6.0, -6.1, -5.9], control), floored([-4.0, -4.1, -3.9], control)
    interval, above = t_interval(a - b), t_interval(b - control)
    assert interval == [0.0, 0.0]  # levels below the control count as the control
    found = erases_more(*interval, 0.1, replace(WORKING, above_control=above))
    assert found.verdict == "undetermined"
    assert "no more than 0.1 above a model that never knew" in found.reason


def test_one_arm_below_the_control_counts_only_down_to_it() -> None:
    levels = floored([-6.0, -2.0, -6.0], [-2.5, -2.4, -2.6])
    assert levels.tolist() == [-2.5, -2.0, -2.6]
    assert floored([0.1, 0.3], 0.2).tolist() == [0.2, 0.3]


def test_arms_that_start_apart_are_not_compared_by_levels() -> None:
    # GradDiff, protocol lacuna: .293 more came back from starts that lay .056 apart in FS.
    apart = replace(WORKING, start_a=0.093, start_b=0.037)
    found = erases_more(0.1, 0.5, 0.02, apart)
    assert found.verdict == "undetermined"
    assert "start apart by +0.056 (at most 0.02 is allowed)" in found.reason
    assert "attack from a matched start" in found.reason
    matched = replace(WORKING, start_a=None, start_b=None)
    assert erases_more(-0.1, 0.07, 0.02, matched).verdict == "undetermined"
    assert insensitive(matched, 0.02) is None
    assert insensitive(replace(WORKING, start_a=0.05, start_b=0.04), 0.02) is None


def test_what_was_not_measured_leaves_an_attack_open() -> None:
    for assay in (replace(WORKING, attacked_a=None), replace(WORKING, above_control=None)):
        reason = insensitive(assay, 0.1)
        assert reason is not None and "not measured" in reason


def test_three_seeds_of_one_sign_decide_nothing_by_themselves() -> None:
    # A percentile interval of three seeds is about [.001, .12]: "fails", one time in four by luck.
    found = two_way_t([0.001, 0.05, 0.12])
    assert found is not None
    assert (round(found.low, 2), round(found.high, 2)) == (-0.09, 0.21)
    assert no_better(found.low, found.high, 0.02).verdict == "undetermined"
    few = enough(2, t_interval([0.001, 0.05]))
    assert few is not None and few.verdict == "undetermined" and "n = 2" in few.reason
    assert enough(3, [-0.09, 0.21]) is None
    assert enough(3, None) is not None


@pytest.mark.parametrize(
    ("case", "interval", "margin", "shipped", "verdict"),
    [
        ("mini NPO, t over four seeds", (-0.01, 0.08), 0.02, "fails", "undetermined"),
        ("lacuna GradDiff", (-0.11, 0.00), 0.02, "holds", "holds"),
        ("lacuna SimNPO", (-0.023, 0.007), 0.02, "holds", "holds"),
        ("mini-tofu WGA", (-0.024, 0.014), 0.02, "undetermined", "holds"),
        ("mini NPO, matched depth", (-0.0002, 0.0011), 0.005, "", "holds"),
        ("mini WGA, matched depth", (-0.0019, 0.0056), 0.005, "", "undetermined"),
    ],
)
def test_recorded_studies(
    case: str, interval: tuple[float, float], margin: float, shipped: str, verdict: Verdict
) -> None:
    assert no_better(*interval, margin).verdict == verdict, (case, shipped)


def test_a_deeper_run_is_not_a_better_place() -> None:
    """Four seeds whose AUES differs by their end FS alone: AUES fails, matched depth holds."""
    ends = [(0.97, 0.93), (0.975, 0.94), (0.965, 0.931), (0.972, 0.934)]
    aues, matched = [], []
    for end_a, end_b in ends:
        a, b = Curve([0, end_a / 2, end_a], [1, 1, 1]), Curve([0, end_b / 2, end_b], [1, 1, 1])
        aues.append(end_a - end_b)
        matched.append(compare_curves([a, b]).difference)
    low, high = t_interval(aues) or [0.0, 0.0]
    assert no_better(low, high, 0.02).verdict == "fails"
    record = paired(matched, [0.0] * 4)
    assert no_better(*record["interval"], 0.005).verdict == "holds"


def test_of_four_claims_one_that_is_nominal_does_not_stand() -> None:
    assert min(p for p in holm([0.03, 0.4, 0.6, 0.2]) if p is not None) > 0.05


def test_a_margin_above_every_printed_difference_refutes_nothing_of_its_size() -> None:
    # +.018 is the largest |d| that Lee et al. print; known to +-.001 it "holds" at .02.
    assert no_better(0.017, 0.019, 0.02).verdict == "holds"
    assert no_better(0.017, 0.019, 0.005).verdict == "fails"


def test_bad_margins_and_intervals_are_refused() -> None:
    for margin in (0.0, -0.02, float("nan"), float("inf")):
        with pytest.raises(UserError, match="a margin is a number above 0"):
            no_better(-0.1, 0.1, margin)
        with pytest.raises(UserError, match="a margin is a number above 0"):
            erases_more(-0.1, 0.1, margin, WORKING)
    with pytest.raises(UserError, match="not in order"):
        no_better(0.1, -0.1, 0.02)
