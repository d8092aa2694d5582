"""Matched depth: curves small enough to integrate by hand, and properties."""

import numpy as np
import pytest

from lacuna.evaluate.curve_summaries import aues
from lacuna.significance import Curve, compare_curves, depth_difference, level_difference
from lacuna.significance.matched import (
    at_level,
    common_depth,
    matched_difference,
    mean_over,
    scores,
)


def curves(seed: int, arms: int = 4, num_alphas: int = 21) -> tuple[np.ndarray, np.ndarray]:
    """Noisy curves of several arms, FS not monotone: (arms, A) each."""
    generator = np.random.default_rng(seed)
    ends = generator.uniform(0.7, 0.98, (arms, 1))
    fs = np.linspace(0, 1, num_alphas) * ends + generator.normal(0, 0.03, (arms, num_alphas))
    fs[:, 0] = 0.01
    return fs, 1 - 0.4 * fs**3 + generator.normal(0, 0.02, (arms, num_alphas))


def test_a_deeper_arm_is_read_only_down_to_the_common_depth() -> None:
    # a: RS 1 up to FS .5, then to .6 at FS 1. b: RS 1 to .8 at FS .75, where it ends.
    a, b = Curve([0, 0.5, 1.0], [1.0, 1.0, 0.6]), Curve([0, 0.75], [1.0, 0.8])
    found = compare_curves(a, b)
    # Over [0, .75]: a has .5 * 1 + .25 * (1 + .8) / 2 = .725, b has .75 * .9 = .675.
    assert (found.start, found.depth) == (0.0, 0.75)
    assert found.aues_a == pytest.approx(0.725 / 0.75)
    assert found.aues_b == pytest.approx(0.9)
    assert found.difference == pytest.approx(0.05 / 0.75)
    assert (found.at_depth.rs_a, found.at_depth.rs_b) == pytest.approx((0.8, 0.8))
    # The published AUES prefers a by its depth: .5 + .5 * .8 = .9 against .675.
    assert float(aues(a.fs, a.rs) - aues(b.fs, b.rs)) == pytest.approx(0.225)


def test_arms_that_lose_nothing_score_one_whatever_their_depth() -> None:
    deep, shallow = Curve([0, 0.5, 0.975], [1, 1, 1]), Curve([0, 0.4, 0.837], [1, 1, 1])
    found = compare_curves(deep, shallow)
    assert (found.aues_a, found.aues_b, found.difference) == pytest.approx((1, 1, 0))


def test_a_step_back_gains_no_area_and_its_loss_counts_from_there_on() -> None:
    # FS .5 falls back to .3 while RS falls to .8; the way on to 1 begins at (.5, .8).
    fs, rs = [0, 0.5, 0.3, 1.0], [1.0, 1.0, 0.8, 0.6]
    assert mean_over(fs, rs, 0.0, 1.0) == pytest.approx(0.5 * 1.0 + 0.5 * 0.7)
    assert at_level(fs, rs, 0.5) == pytest.approx(1.0)  # first reached at the second alpha
    assert at_level(fs, rs, 0.75) == pytest.approx(0.7)  # half of the way from .8 to .6


def test_levels_are_interpolated_and_none_where_an_arm_never_gets_there() -> None:
    a = Curve([0.1, 0.6, 0.9], [1.0, 0.9, 0.6], [0.62, 0.60, 0.50])
    b = Curve([0.1, 0.8], [1.0, 0.5])
    found = compare_curves(a, b, levels=(0.05, 0.5, 0.85, 0.95))
    below, half, deep, deepest = found.at_levels
    assert (below.rs_a, below.mu_a) == (1.0, 0.62)  # at or before the start: read at alpha = 0
    assert half.rs_a == pytest.approx(0.92)  # .8 of the way from .1 to .6
    assert half.mu_a == pytest.approx(0.604)
    assert half.rs_b == pytest.approx(1 - 0.5 * 4 / 7)
    assert half.mu_b is None
    assert deep.rs_a == pytest.approx(0.9 - 0.3 * 25 / 30)
    assert (deep.rs_b, deepest.rs_a, deepest.rs_b) == (None, None, None)
    assert found.depth == 0.8
    assert found.at_depth.rs_b == pytest.approx(0.5)
    assert found.at_depth.rs_a == pytest.approx(0.9 - 0.3 * 2 / 3)


def test_an_arm_that_forgot_nothing_has_no_common_depth() -> None:
    found = compare_curves(Curve([0.02, 0.9], [1.0, 0.9]), Curve([0.02, 0.01], [1.0, 1.0]))
    assert found.depth == found.start == 0.02
    assert (found.aues_a, found.difference) == (None, None)
    assert found.at_depth.rs_a is None and found.at_depth.rs_b is None
    assert found.at_levels[0].rs_a is not None


def test_both_arms_are_read_over_the_same_depths_where_their_starts_differ_by_rounding() -> None:
    a, b = Curve([0.0, 1.0], [1.0, 0.0]), Curve([0.2, 1.0], [0.8, 0.0])
    found = compare_curves(a, b)
    assert found.start == 0.2
    assert found.aues_a == pytest.approx(0.4)  # the same line: RS = 1 - FS over [.2, 1]
    assert found.difference == pytest.approx(0.0)


def test_a_monotone_pair_of_equal_depth_gives_aues_over_that_depth() -> None:
    fs = np.linspace(0, 0.9, 21)
    rs_a, rs_b = 1 - fs**2, 1 - fs
    a, b = scores(fs, rs_a, fs, rs_b)
    assert (a * 0.9, b * 0.9) == pytest.approx((float(aues(fs, rs_a)), float(aues(fs, rs_b))))


@pytest.mark.parametrize("seed", range(5))
def test_stacked_curves_give_what_each_gives(seed: int) -> None:
    fs, rs = curves(seed)
    other_fs, other_rs = curves(seed + 100)
    for score in (matched_difference, depth_difference, level_difference(0.5)):
        each = [
            float(score(*(part[None] for part in pair))[0])
            for pair in zip(fs, rs, other_fs, other_rs, strict=True)
        ]
        np.testing.assert_allclose(score(fs, rs, other_fs, other_rs), each, atol=1e-12)
    one_against_all = matched_difference(fs, rs, other_fs[:1], other_rs[:1])
    np.testing.assert_allclose(
        one_against_all[2], matched_difference(fs[2:3], rs[2:3], other_fs[:1], other_rs[:1])[0]
    )


@pytest.mark.parametrize("seed", range(5))
def test_properties(seed: int) -> None:
    (fs, rs), (other_fs, other_rs) = curves(seed), curves(seed + 50)
    difference = matched_difference(fs, rs, other_fs, other_rs)
    # Swapping the arms negates it, the same arm twice gives none.
    np.testing.assert_allclose(matched_difference(other_fs, other_rs, fs, rs), -difference)
    np.testing.assert_allclose(matched_difference(fs, rs, fs, rs), 0, atol=1e-12)
    # Linear in RS: a loss of .1 everywhere in b raises it by .1; scaled RS scales it.
    np.testing.assert_allclose(
        matched_difference(fs, rs, other_fs, other_rs - 0.1), difference + 0.1
    )
    np.testing.assert_allclose(
        matched_difference(fs, 2 * rs, other_fs, 2 * other_rs), 2 * difference, atol=1e-12
    )
    # A point on the line between two others changes nothing.
    fs = np.sort(fs, axis=1)
    finer = [np.insert(part, 5, part[:, 4:6].mean(axis=1), axis=1) for part in (fs, rs)]
    np.testing.assert_allclose(
        matched_difference(*finer, other_fs, other_rs),
        matched_difference(fs, rs, other_fs, other_rs),
        atol=1e-12,
    )


def test_a_run_that_goes_on_beyond_the_common_depth_scores_the_same() -> None:
    fs, rs = np.array([0, 0.4, 0.8]), np.array([1, 0.95, 0.9])
    other = np.array([0, 0.3, 0.7]), np.array([1, 0.9, 0.85])
    further = np.append(fs, 0.99), np.append(rs, 0.1)
    assert scores(*further, *other)[0] == pytest.approx(float(scores(fs, rs, *other)[0]))
    assert common_depth(further[0], other[0]) == 0.7


def test_a_level_beyond_an_arm_is_read_at_its_end_in_the_score_for_intervals() -> None:
    a, b = ([[0, 0.96]], [[1.0, 0.7]]), ([[0, 0.94]], [[1.0, 0.6]])
    arrays = [np.array(part) for part in (*a, *b)]
    assert level_difference(0.95)(*arrays) == pytest.approx([1 - 0.3 * 0.95 / 0.96 - 0.6])
    assert (
        compare_curves(Curve(a[0][0], a[1][0]), Curve(b[0][0], b[1][0])).at_levels[3].rs_b is None
    )
