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


def curves(seed: int, arms: int = 2, runs: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Noisy curves, FS not monotone: (arms, runs, 21) each."""
    generator = np.random.default_rng(seed)
    ends = generator.uniform(0.7, 0.98, (arms, runs, 1))
    fs = np.linspace(0, 1, 21) * ends + generator.normal(0, 0.03, (arms, runs, 21))
    fs[..., 0] = 0.01
    return fs, 1 - 0.4 * fs**3 + generator.normal(0, 0.02, (arms, runs, 21))


def test_a_deeper_arm_is_read_only_down_to_the_common_depth() -> None:
    # a: RS 1 up to FS .5, then to .6 at FS 1. b: RS 1 to .8 at FS .75, where it ends.
    a, b = Curve([0, 0.5, 1.0], [1.0, 1.0, 0.6]), Curve([0, 0.375, 0.75], [1.0, 0.9, 0.8])
    found = compare_curves([a, b])
    # Over [0, .75]: a has .5 * 1 + .25 * (1 + .8) / 2 = .725, b has .75 * .9 = .675.
    assert (found.start, found.depth) == (0.0, 0.75)
    assert found.aues == pytest.approx((0.725 / 0.75, 0.9))
    assert found.difference == pytest.approx(0.05 / 0.75)
    assert found.at_depth.rs == pytest.approx((0.8, 0.8))
    # The published AUES prefers a by its depth: .5 + .5 * .8 = .9 against .675.
    assert float(aues(a.fs, a.rs) - aues(b.fs, b.rs)) == pytest.approx(0.225)


def test_arms_that_lose_nothing_score_one_whatever_their_depth() -> None:
    deep, shallow = Curve([0, 0.5, 0.975], [1, 1, 1]), Curve([0, 0.4, 0.837], [1, 1, 1])
    found = compare_curves([deep, shallow])
    assert (*found.aues, found.difference) == pytest.approx((1, 1, 0))


def test_several_rivals_share_one_depth_and_count_by_their_mean() -> None:
    true, one = Curve([0, 0.8], [1.0, 0.92]), Curve([0, 0.9], [1.0, 0.82])
    other = Curve([0, 0.5], [1.0, 0.8])
    found = compare_curves([true, one, other])
    # RS falls by .1, .2, .4 for a unit of FS: means over [0, .5] of .975, .95, .9.
    assert found.depth == 0.5
    assert found.aues == pytest.approx((0.975, 0.95, 0.9))
    assert found.difference == pytest.approx(0.975 - 0.925)
    assert found.at_depth.rs == pytest.approx((0.95, 0.9, 0.8))
    fs, rs = (np.array([getattr(c, name) for c in (true, one, other)]) for name in ("fs", "rs"))
    assert float(matched_difference(fs, rs)) == pytest.approx(0.05)
    assert float(depth_difference(fs, rs)) == pytest.approx(0.95 - 0.85)


def test_a_step_back_gains_no_area_and_its_loss_counts_from_there_on() -> None:
    # FS .5 falls back to .3 while RS falls to .8; the way on to 1 begins at (.5, .8).
    fs, rs = [0, 0.5, 0.3, 1.0], [1.0, 1.0, 0.8, 0.6]
    assert mean_over(fs, rs, 0.0, 1.0) == pytest.approx(0.5 * 1.0 + 0.5 * 0.7)
    assert at_level(fs, rs, 0.5) == pytest.approx(1.0)  # first reached at the second alpha
    assert at_level(fs, rs, 0.75) == pytest.approx(0.7)  # half of the way from .8 to .6


def test_levels_are_interpolated_and_none_where_an_arm_never_gets_there() -> None:
    a = Curve([0.1, 0.6, 0.9], [1.0, 0.9, 0.6], [0.62, 0.60, 0.50])
    b = Curve([0.1, 0.45, 0.8], [1.0, 0.75, 0.5])
    found = compare_curves([a, b], levels=(0.05, 0.5, 0.85, 0.95))
    below, half, deep, deepest = found.at_levels
    assert (below.rs, below.mu) == ((1.0, 1.0), (0.62, None))  # at alpha = 0
    assert half.rs == pytest.approx((0.92, 1 - 0.5 * 4 / 7))  # .8 and 4/7 of the way
    assert half.mu == (pytest.approx(0.604), None)
    assert deep.rs == (pytest.approx(0.9 - 0.3 * 25 / 30), None)
    assert deepest.rs == (None, None)
    assert found.depth == 0.8
    assert found.at_depth.rs == pytest.approx((0.9 - 0.3 * 2 / 3, 0.5))


def test_an_arm_that_forgot_nothing_has_no_common_depth() -> None:
    found = compare_curves([Curve([0.02, 0.9], [1.0, 0.9]), Curve([0.02, 0.01], [1.0, 1.0])])
    assert found.depth == found.start == 0.02
    assert (found.aues, found.difference) == ((None, None), None)
    assert found.at_depth.rs == (None, None)
    assert found.at_levels[0].rs[0] is not None


def test_arms_are_read_over_the_same_depths_where_their_starts_differ_by_rounding() -> None:
    found = compare_curves([Curve([0.0, 1.0], [1.0, 0.0]), Curve([0.2, 1.0], [0.8, 0.0])])
    assert found.start == 0.2
    assert found.aues == pytest.approx((0.4, 0.4))  # the same line: RS = 1 - FS over [.2, 1]
    assert found.difference == pytest.approx(0.0)


def test_monotone_arms_of_equal_depth_give_aues_over_that_depth() -> None:
    fs = np.linspace(0, 0.9, 21)
    fs, rs = np.stack([fs, fs]), np.stack([1 - fs**2, 1 - fs])
    np.testing.assert_allclose(scores(fs, rs) * 0.9, aues(fs, rs))


@pytest.mark.parametrize("seed", range(5))
def test_stacked_curves_give_what_each_gives(seed: int) -> None:
    fs, rs = curves(seed, arms=3)
    for score in (matched_difference, depth_difference, level_difference(0.5)):
        each = [float(score(fs[:, [run]], rs[:, [run]])[0]) for run in range(4)]
        np.testing.assert_allclose(score(fs, rs), each, atol=1e-12)
        # One row of FS or of RS serves for all, as when only retain or forget people change.
        for one_fs, one_rs in ((fs[:, :1], rs), (fs, rs[:, :1])):
            whole = np.broadcast_arrays(one_fs, one_rs)
            np.testing.assert_allclose(score(one_fs, one_rs), score(*whole), atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_properties(seed: int) -> None:
    fs, rs = curves(seed)
    difference = matched_difference(fs, rs)
    # Swapping the arms negates it, the same arm twice gives none.
    np.testing.assert_allclose(matched_difference(fs[::-1], rs[::-1]), -difference)
    np.testing.assert_allclose(matched_difference(fs[[0, 0]], rs[[0, 0]]), 0, atol=1e-12)
    # Linear in RS: a loss of .1 everywhere in the rival raises it by .1; scaled RS scales it.
    loss = np.array([0.0, 0.1])[:, None, None]
    np.testing.assert_allclose(matched_difference(fs, rs - loss), difference + 0.1)
    np.testing.assert_allclose(matched_difference(fs, 2 * rs), 2 * difference, atol=1e-12)
    # A point on the line between two others changes nothing.
    fs = np.sort(fs, axis=-1)
    finer = [np.insert(part, 5, part[..., 4:6].mean(axis=-1), axis=-1) for part in (fs, rs)]
    np.testing.assert_allclose(matched_difference(*finer), matched_difference(fs, rs), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rivals_does_not_matter(seed: int) -> None:
    fs, rs = curves(seed, arms=4)
    mixed = [0, 3, 1, 2]
    np.testing.assert_allclose(matched_difference(fs, rs), matched_difference(fs[mixed], rs[mixed]))


def test_a_run_that_goes_on_beyond_the_common_depth_scores_the_same() -> None:
    rival = [0, 0.3, 0.7, 0.7], [1, 0.9, 0.85, 0.85]
    short = np.array([[0, 0.4, 0.8, 0.8], rival[0]]), np.array([[1, 0.95, 0.9, 0.9], rival[1]])
    long = np.array([[0, 0.4, 0.8, 0.99], rival[0]]), np.array([[1, 0.95, 0.9, 0.1], rival[1]])
    np.testing.assert_allclose(scores(*long), scores(*short))
    assert common_depth(long[0]) == 0.7


def test_a_level_beyond_an_arm_is_read_at_its_end_in_the_score_for_intervals() -> None:
    fs, rs = np.array([[[0, 0.96]], [[0, 0.94]]]), np.array([[[1.0, 0.7]], [[1.0, 0.6]]])
    assert level_difference(0.95)(fs, rs) == pytest.approx([1 - 0.3 * 0.95 / 0.96 - 0.6])
    found = compare_curves([Curve(*pair) for pair in zip(fs[:, 0], rs[:, 0], strict=True)])
    assert found.at_levels[3].rs[1] is None
