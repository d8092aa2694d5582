"""Permutation of mixing weights between two scenarios (Lee et al., 2025, appendix D).

Null hypothesis: at each alpha, which scenario the point (FS, RS) belongs to is arbitrary. The test
swaps the two scenarios' points at each alpha with probability 1/2 and asks how often |AUES_a -
AUES_b| is at least as large as observed.

Limit: the points of one curve are neighbours on one path between the same two models, so they are
not exchangeable draws. A small p says that two *curves* differ, not that two *methods* do; the
tests in `seeds` speak about methods.

Shapes: A mixing weights, R rounds.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lacuna.errors import UserError

Floats = NDArray[np.float64]

MAX_EXACT = 24
"""Most mixing weights for which all 2^A swaps are enumerated (2^24: 128 MiB)."""
TOLERANCE = 1e-12
"""Ties are equal up to this share of the largest difference that any swap could give."""


def exact(fs_a: ArrayLike, rs_a: ArrayLike, fs_b: ArrayLike, rs_b: ArrayLike) -> float:
    """p over all 2^A swaps of two curves of A points (each argument is (A,), in order of alpha).

    A trapezoid sees two neighbouring points, so the differences of all swaps of the first k points
    double from those of the first k - 1: about 2^A additions in total, 0.1 s at A = 21. Swapping
    every point negates the difference, so only swaps that keep the first point are enumerated.
    Raises `UserError` above 24 mixing weights.
    """
    steps = _steps(fs_a, rs_a, fs_b, rs_b)
    if len(steps) + 1 > MAX_EXACT:
        raise UserError(
            f"exact AUES permutation of {len(steps) + 1} mixing weights is too large: use at most "
            f"{MAX_EXACT} alphas or the sampled test"
        )
    ends_kept, ends_swapped = np.zeros(1), np.zeros(0)
    for step in steps:
        ends_kept, ends_swapped = (
            np.concatenate([ends_kept + step[0, now], ends_swapped + step[1, now]])
            for now in (0, 1)
        )
    reached = _reaches(np.concatenate([ends_kept, ends_swapped]), steps)
    return float(reached.mean())


def sampled(
    fs_a: ArrayLike,
    rs_a: ArrayLike,
    fs_b: ArrayLike,
    rs_b: ArrayLike,
    *,
    rounds: int,
    generator: np.random.Generator,
) -> float:
    """p over `rounds` random swaps, the observed arrangement counted as one more (so p > 0)."""
    steps = _steps(fs_a, rs_a, fs_b, rs_b)
    swaps_RA = generator.integers(0, 2, size=(rounds, len(steps) + 1))
    at = np.arange(len(steps))
    differences_R = steps[at, swaps_RA[:, :-1], swaps_RA[:, 1:]].sum(axis=1)
    return (1 + int(_reaches(differences_R, steps).sum())) / (1 + rounds)


def _steps(fs_a: ArrayLike, rs_a: ArrayLike, fs_b: ArrayLike, rs_b: ArrayLike) -> Floats:
    """(A - 1, 2, 2): each trapezoid's part of AUES_a - AUES_b, by swap of left and right point."""
    fs = np.asarray([fs_a, fs_b], float)
    rs = np.asarray([rs_a, rs_b], float)
    steps = np.empty((fs.shape[1] - 1, 2, 2))
    for left in (0, 1):
        for right in (0, 1):
            first = _trapezoids(fs[left, :-1], fs[right, 1:], rs[left, :-1], rs[right, 1:])
            second = _trapezoids(
                fs[1 - left, :-1], fs[1 - right, 1:], rs[1 - left, :-1], rs[1 - right, 1:]
            )
            steps[:, left, right] = first - second
    return steps


def _trapezoids(fs_left: Floats, fs_right: Floats, rs_left: Floats, rs_right: Floats) -> Floats:
    return (fs_right - fs_left) * (rs_left + rs_right) / 2


def _reaches(differences: Floats, steps: Floats) -> NDArray[np.bool_]:
    """Which differences are at least as large as the observed one (no point swapped)."""
    observed = abs(steps[:, 0, 0].sum())
    slack = TOLERANCE * np.abs(steps).max(axis=(1, 2)).sum()
    reached: NDArray[np.bool_] = np.abs(differences) >= observed - slack
    return reached
