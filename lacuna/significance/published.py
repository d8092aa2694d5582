"""The two tests of Lee et al. (2025, appendix D) as published, and what they can and cannot say.

**AUES permutation.** At each mixing weight the two scenarios' points (FS, RS) are swapped with
probability 1/2; p is how often |AUES_a - AUES_b| is at least the observed one. The points of one
curve are neighbours on one path between the same two models, so they are no exchangeable draws: the
test answers whether the *sign* of the gap is constant along the curve, not how large it is. Where
RS is 1 throughout, every swap keeps |AUES_a - AUES_b| and p is 1 whatever the difference; a gap in
RS of .001 at every weight gives the least p there is.

**MU95 pool split.** The (MU, FQ) points of both scenarios are pooled and split at random into
groups of the original sizes; p is how often MU95 differs as much as observed. The paper calls it a
bootstrap; as described it is a permutation. Every split that leaves the points around the threshold
where they are has the observed gap, so p has a floor of about 2^(1 - m), however far apart the
scenarios lie: m pooled points lie between the outermost of the scenarios' nearest points below and
above the threshold. Curves whose utilities alternate have m = 4 and a floor of .13 (A = 21). Where
noise in the utilities is a third of their step (.002), m is 5 or 6 in a third of pairs, the floor
.07 or .03. Below .05 needs m of 6 or more: p gets there for the order of the *utilities*, never for
the gap in FQ.

The mean of such p-values over seeds, which the paper prints, is not a p-value. The tests whose unit
is the seed are in `two_way`, `blocks` and `seeds`.

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


def aues_permutation(fs_a: ArrayLike, rs_a: ArrayLike, fs_b: ArrayLike, rs_b: ArrayLike) -> float:
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


def sampled_aues_permutation(
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


def pool_split(
    mu_a: ArrayLike,
    fq_a: ArrayLike,
    mu_b: ArrayLike,
    fq_b: ArrayLike,
    *,
    start: float,
    rounds: int,
    generator: np.random.Generator,
) -> float:
    """p that a random split of the pool differs in MU95 as much as the scenarios do.

    Each array is (A,); `start` is the model utility before unlearning, which both scenarios share.
    A group has no order of alpha, so MU95 is read here, for the observed groups too, between the
    points sorted by MU, and at the nearest utility where a group lies on one side of the threshold.
    p counts the observed split as one more round, so it is never 0; it exceeds the published
    proportion by at most 1 / (rounds + 1).
    """
    mu, fq = np.concatenate([mu_a, mu_b]), np.concatenate([fq_a, fq_b])
    order = np.lexsort((fq, mu))  # ties by FQ: p must not depend on the points' order
    in_a = np.arange(len(mu)) < len(np.asarray(mu_a))
    mu, fq, target = mu[order], fq[order], 0.95 * start
    observed = abs(_gaps(mu, fq, in_a[order][None], target)[0])
    split_RP = generator.permuted(np.tile(in_a, (rounds, 1)), axis=1)
    reached = np.abs(_gaps(mu, fq, split_RP, target)) >= observed * (1 - TOLERANCE)
    return (1 + int(reached.sum())) / (1 + rounds)


def _gaps(mu: Floats, fq: Floats, in_a_RP: NDArray[np.bool_], target: float) -> Floats:
    """(R,) MU95 of the points in a minus that of the others; the pool is sorted by `mu`."""
    return _at(mu, fq, in_a_RP, target) - _at(mu, fq, ~in_a_RP, target)


def _at(mu: Floats, fq: Floats, held_RP: NDArray[np.bool_], target: float) -> Floats:
    """(R,) FQ at `target`, linear between the held points on both sides of it."""
    below = int(np.searchsorted(mu, target, side="right"))
    is_low, is_high = held_RP[:, :below], held_RP[:, below:]
    low = below - 1 - is_low[:, ::-1].argmax(axis=1) if below else np.zeros(len(held_RP), int)
    high = below + is_high.argmax(axis=1) if below < len(mu) else low
    low, high = np.where(is_low.any(1), low, high), np.where(is_high.any(1), high, low)
    width = mu[high] - mu[low]
    part = np.divide(target - mu[low], width, out=np.zeros_like(width), where=width > 0)
    return np.asarray(fq[low] + part * (fq[high] - fq[low]))


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
