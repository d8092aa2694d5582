"""The arms of one seed compared at equal depth of forgetting.

AUES grows with the depth that a run happened to reach: where little else is lost, the difference of
two arms' AUES *is* the difference of their end FS. Here all arms are read over the same FS:

    M      FS made monotone along alpha by its running maximum, which is the depth reached so far
    S      start: the largest M at alpha = 0 (one model for all arms, so equal but for rounding)
    D      common depth: the smallest of the arms' largest FS
    score  mean RS over FS in [S, D]: area under RS over M by the trapezoid rule, divided by D - S

The score is 1 where nothing else is lost. RS (and any other metric, such as MU) is linear in M
between neighbouring alphas. Conventions at the edges:

* Where FS falls back, M stands still and the area gains nothing; the line to the next deeper point
  begins at the last point before it, so RS lost meanwhile counts from there on.
* A level is read where M first reaches it. One at or below FS at alpha = 0 is read at alpha = 0;
  one that the arm never reaches has no value (None, NaN in arrays).
* D <= S (one arm forgot nothing): there is no common depth and no score.

Shapes: K arms, the true region's first; A mixing weights in order of alpha, last.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lacuna.significance.arms import Floats, Score, first_minus_rest, slope_weights

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Depths of forgetting at which arms are read."""


def running(fs: ArrayLike) -> Floats:
    """M (..., A): the largest FS so far, along alpha."""
    return np.maximum.accumulate(np.asarray(fs, float), axis=-1)


def common_depth(fs: ArrayLike) -> Floats:
    """D (...) of arms (K, ..., A): the smallest of their largest FS."""
    return np.asarray(np.asarray(fs, float).max(axis=-1).min(axis=0))


def mean_over(fs: ArrayLike, values: ArrayLike, low: ArrayLike, high: ArrayLike) -> Floats:
    """Mean of `values` (..., A) over M in [low, high], each (...); NaN where high <= low.

    `low` and `high` must lie within what M reaches.
    """
    depth, y = running(fs), np.asarray(values, float)
    ends = np.clip(depth, np.expand_dims(low, -1), np.expand_dims(high, -1))
    width = np.diff(depth, axis=-1)
    middle = (ends[..., 1:] + ends[..., :-1]) / 2 - depth[..., :-1]
    part = np.divide(middle, width, out=np.zeros_like(middle), where=width > 0)
    area = np.sum(np.diff(ends, axis=-1) * (y[..., :-1] + part * np.diff(y, axis=-1)), axis=-1)
    span = np.asarray(high, float) - np.asarray(low, float)
    return np.asarray(np.divide(area, span, out=np.full_like(area, np.nan), where=span > 0))


def at_level(fs: ArrayLike, values: ArrayLike, level: ArrayLike) -> Floats:
    """`values` (..., A) where M first reaches `level` (...); NaN where it never does."""
    depth, y = np.broadcast_arrays(running(fs), np.asarray(values, float))
    wanted = np.broadcast_to(np.asarray(level, float), depth.shape[:-1])[..., None]
    reached = depth >= wanted
    right = reached.argmax(axis=-1)[..., None]
    left = np.maximum(right - 1, 0)

    def ends(array: Floats) -> tuple[Floats, Floats]:
        return np.take_along_axis(array, left, -1), np.take_along_axis(array, right, -1)

    (from_depth, to_depth), (from_y, to_y) = ends(depth), ends(y)
    width = to_depth - from_depth
    part = np.divide(wanted - from_depth, width, out=np.ones_like(width), where=width > 0)
    found = from_y + part * (to_y - from_y)
    return np.asarray(np.where(reached.any(-1), found[..., 0], np.nan))


def scores(fs: ArrayLike, rs: ArrayLike) -> Floats:
    """Matched-depth AUES (K, ...) of arms (K, ..., A); NaN where there is no common depth."""
    low = np.asarray(fs, float)[..., 0].max(axis=0)
    return mean_over(fs, rs, low, common_depth(fs))


def at_common_depth(fs: Floats, rs: Floats) -> Floats:
    """RS of arms (K, ..., A) at their common depth, (K, ...)."""
    return at_level(fs, rs, common_depth(fs))


def matched_difference(fs: Floats, rs: Floats) -> Floats:
    """Matched-depth AUES, the true arm minus its rivals: the estimand that decides."""
    return first_minus_rest(scores(fs, rs))


def depth_difference(fs: Floats, rs: Floats) -> Floats:
    """RS at the common depth, likewise: what is kept when all arms have forgotten as much."""
    return first_minus_rest(at_common_depth(fs, rs))


def level_difference(level: float) -> Score:
    """The score "RS at FS `level`", likewise, for `two_way_of_arms`.

    An arm that does not reach the level is read at its deepest point, as happens when a person is
    left out of an arm that just reaches it. Whether all arms reach it with everybody is seen in
    `compare_curves`, whose reading is then not None.
    """

    def score(fs: Floats, rs: Floats) -> Floats:
        return first_minus_rest(at_level(fs, rs, np.minimum(level, fs.max(axis=-1))))

    return score


def slope_of(read: Score, x: ArrayLike) -> Score:
    """The slope of a number of each arm (`scores`, `at_common_depth`) on `x` (K,)."""
    weights = slope_weights(x)

    def score(fs: Floats, rs: Floats) -> Floats:
        return np.asarray(np.tensordot(weights, read(fs, rs), axes=1))

    return score


@dataclass(frozen=True)
class Curve:
    """One arm's mixing curve, (A,) each; MU where the data have it."""

    fs: ArrayLike
    rs: ArrayLike
    mu: ArrayLike | None = None


@dataclass(frozen=True)
class Reading:
    """All arms at one depth; None where an arm never reaches it or has no such metric."""

    level: float
    rs: tuple[float | None, ...]
    mu: tuple[float | None, ...]


@dataclass(frozen=True)
class Matched:
    """The arms of one seed at matched depth."""

    start: float
    depth: float
    """D; the arms have no common depth where it is not above the start."""
    aues: tuple[float | None, ...]
    """Matched-depth AUES of each arm."""
    at_depth: Reading
    at_levels: tuple[Reading, ...]

    @property
    def difference(self) -> float | None:
        """Matched-depth AUES, the true arm minus the mean of its rivals."""
        return difference(self.aues)


def difference(values: Sequence[float | None]) -> float | None:
    """The first value minus the mean of the others; None if one is None."""
    known = [value for value in values if value is not None]
    return None if len(known) < len(values) else known[0] - sum(known[1:]) / len(known[1:])


def compare_curves(arms: Sequence[Curve], levels: Sequence[float] = LEVELS) -> Matched:
    """The arms of one seed (true region first, at least one rival) at matched and fixed depths."""
    fs, rs = np.array([arm.fs for arm in arms], float), np.array([arm.rs for arm in arms], float)
    start, depth = float(fs[:, 0].max()), float(common_depth(fs))
    nothing = (None,) * len(arms)
    at_depth = _reading(arms, depth) if depth > start else Reading(depth, nothing, nothing)
    readings = tuple(_reading(arms, level) for level in levels)
    return Matched(start, depth, tuple(map(_number, scores(fs, rs))), at_depth, readings)


def _reading(arms: Sequence[Curve], level: float) -> Reading:
    return Reading(
        level,
        tuple(_number(at_level(arm.fs, arm.rs, level)) for arm in arms),
        tuple(None if arm.mu is None else _number(at_level(arm.fs, arm.mu, level)) for arm in arms),
    )


def _number(value: Floats) -> float | None:
    return float(value) if np.isfinite(value) else None
