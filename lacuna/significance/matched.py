"""Two scenarios of one seed compared at equal depth of forgetting.

AUES grows with the depth that a run happened to reach: where little else is lost, the difference of
two arms' AUES *is* the difference of their end FS. Here both arms are read over the same FS:

    M      FS made monotone along alpha by its running maximum, which is the depth reached so far
    S      start: the larger of both arms' M at alpha = 0 (one model, so equal but for rounding)
    D      common depth: the smaller of both arms' largest FS
    score  mean RS over FS in [S, D]: area under RS over M by the trapezoid rule, divided by D - S

The score is 1 where nothing else is lost. RS (and any other metric, such as MU) is linear in M
between neighbouring alphas. Conventions at the edges:

* Where FS falls back, M stands still and the area gains nothing; the line to the next deeper point
  begins at the last point before it, so RS lost meanwhile counts from there on.
* A level is read where M first reaches it. One at or below FS at alpha = 0 is read at alpha = 0;
  one that the arm never reaches has no value (None, NaN in arrays).
* D <= S (one arm forgot nothing): there is no common depth and no score.

The functions take (..., A) arrays over A mixing weights in order of alpha and give (...).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lacuna.significance.pairs import Floats, Score

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Depths of forgetting at which arms are read."""


def running(fs: ArrayLike) -> Floats:
    """M: the largest FS so far, along alpha."""
    return np.maximum.accumulate(np.asarray(fs, float), axis=-1)


def common_depth(fs_a: ArrayLike, fs_b: ArrayLike) -> Floats:
    """D: the smaller of both arms' largest FS."""
    deepest = [np.max(np.asarray(fs, float), axis=-1) for fs in (fs_a, fs_b)]
    return np.asarray(np.minimum(*deepest))


def mean_over(fs: ArrayLike, values: ArrayLike, low: ArrayLike, high: ArrayLike) -> Floats:
    """Mean of `values` over M in [low, high]; NaN where high <= low.

    `low` and `high` are (...) and must lie within what M reaches.
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
    """`values` where M first reaches `level` (...); NaN where it never does."""
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


def scores(
    fs_a: ArrayLike, rs_a: ArrayLike, fs_b: ArrayLike, rs_b: ArrayLike
) -> tuple[Floats, Floats]:
    """Matched-depth AUES of both arms; NaN where there is no common depth."""
    low = np.maximum(np.asarray(fs_a, float)[..., 0], np.asarray(fs_b, float)[..., 0])
    high = common_depth(fs_a, fs_b)
    return mean_over(fs_a, rs_a, low, high), mean_over(fs_b, rs_b, low, high)


def matched_difference(fs_a: Floats, rs_a: Floats, fs_b: Floats, rs_b: Floats) -> Floats:
    """Matched-depth AUES of a minus that of b: the estimand that decides."""
    a, b = scores(fs_a, rs_a, fs_b, rs_b)
    return a - b


def depth_difference(fs_a: Floats, rs_a: Floats, fs_b: Floats, rs_b: Floats) -> Floats:
    """RS at the common depth, a minus b: what is kept when both have forgotten as much."""
    level = common_depth(fs_a, fs_b)
    return at_level(fs_a, rs_a, level) - at_level(fs_b, rs_b, level)


def level_difference(level: float) -> Score:
    """The score "RS at FS `level`, a minus b", for `two_way_of_pairs`.

    An arm that does not reach the level is read at its deepest point, as happens when a person is
    left out of an arm that just reaches it. Whether both arms reach it with everybody is seen in
    `compare_curves`, whose reading is then not None.
    """

    def score(fs_a: Floats, rs_a: Floats, fs_b: Floats, rs_b: Floats) -> Floats:
        a = at_level(fs_a, rs_a, np.minimum(level, fs_a.max(-1)))
        return a - at_level(fs_b, rs_b, np.minimum(level, fs_b.max(-1)))

    return score


@dataclass(frozen=True)
class Curve:
    """One arm's mixing curve, (A,) each; MU where the data have it."""

    fs: ArrayLike
    rs: ArrayLike
    mu: ArrayLike | None = None


@dataclass(frozen=True)
class Reading:
    """Both arms at one depth; None where an arm never reaches it or has no such metric."""

    level: float
    rs_a: float | None
    rs_b: float | None
    mu_a: float | None
    mu_b: float | None


@dataclass(frozen=True)
class Matched:
    """Two arms of one seed at matched depth."""

    start: float
    depth: float
    """D; the arms have no common depth where it is not above the start."""
    aues_a: float | None
    aues_b: float | None
    at_depth: Reading
    at_levels: tuple[Reading, ...]

    @property
    def difference(self) -> float | None:
        """Matched-depth AUES, a minus b."""
        return None if self.aues_a is None or self.aues_b is None else self.aues_a - self.aues_b


def compare_curves(a: Curve, b: Curve, levels: Sequence[float] = LEVELS) -> Matched:
    """Both arms of one seed at matched depth and at fixed depths."""
    start = float(max(np.asarray(a.fs, float)[0], np.asarray(b.fs, float)[0]))
    depth = float(common_depth(a.fs, b.fs))
    score_a, score_b = scores(a.fs, a.rs, b.fs, b.rs)
    at_depth = Reading(depth, None, None, None, None)
    if depth > start:
        at_depth = _reading(a, b, depth)
    readings = tuple(_reading(a, b, level) for level in levels)
    return Matched(start, depth, _number(score_a), _number(score_b), at_depth, readings)


def _reading(a: Curve, b: Curve, level: float) -> Reading:
    found = [
        None if values is None else _number(at_level(arm.fs, values, level))
        for values, arm in ((a.rs, a), (b.rs, b), (a.mu, a), (b.mu, b))
    ]
    return Reading(level, *found)


def _number(value: Floats) -> float | None:
    return float(value) if np.isfinite(value) else None
