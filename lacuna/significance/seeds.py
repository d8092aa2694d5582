"""Tests and intervals over seeds, the unit that was drawn independently.

A seed draws the region, the injection and the unlearning run, so two scenarios differ as methods
only if they differ over seeds. Student's t speaks about *these* people; `two_way` about people like
them, and decides. The sign-flip test and the bootstrap are for display: n seeds cannot bring the
first below 2^(1 - n), and with fewer than 16 the second is too narrow (`calibrate` measures it).

Shapes: S seeds, R bootstrap rounds.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from lacuna.errors import UserError
from lacuna.significance.arms import Arms, Floats, same_people

People = Literal["nested", "crossed"]

MAX_SEEDS = 24
"""Most seeds for which all 2^n sign patterns are enumerated."""


class SignFlip(NamedTuple):
    """Exact two-sided sign-flip test of paired differences."""

    difference: float | None
    """Mean of the n paired differences; None for n = 0."""
    p: float | None
    """Share of the 2^n sign patterns whose |mean| reaches the observed one; None for n = 0."""
    n: int
    """Number of pairs."""
    p_min: float | None
    """Smallest p that n pairs can give, 2^(1 - n): with 4 seeds nothing is below 0.125."""


def sign_flip(differences: ArrayLike) -> SignFlip:
    """Fisher's randomisation test: under no effect, each seed's difference is as likely negated.

    `differences` is (n,). Exact for any distribution that is symmetric about 0; no test of n pairs
    has p below 2^(1 - n). One pair gives p = 1. Raises `UserError` above 24 pairs.
    """
    deltas = np.asarray(differences, float)
    n = len(deltas)
    if n == 0:
        return SignFlip(None, None, 0, None)
    if n > MAX_SEEDS:
        raise UserError(f"exact sign-flip test of {n} seeds is too large: use at most {MAX_SEEDS}")
    sums = deltas[:1]  # the first sign stays: negating a whole pattern leaves |sum| as it is
    for delta in deltas[1:]:
        sums = np.concatenate([sums + delta, sums - delta])
    slack = 1e-12 * np.abs(deltas).sum()
    p = float((np.abs(sums) >= abs(deltas.sum()) - slack).mean())
    return SignFlip(float(deltas.mean()), p, n, 2.0 ** (1 - n))


def t_interval(differences: ArrayLike, level: float = 0.95) -> list[float] | None:
    """Student's t interval [lo, hi] for the mean of paired differences; None below two pairs.

    Assumes near-normal differences; unlike a percentile bootstrap it does not shrink at small n.
    """
    deltas = np.asarray(differences, float)
    n = len(deltas)
    if n < 2:
        return None
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * float(deltas.std(ddof=1)) / n**0.5
    return [float(deltas.mean()) - half, float(deltas.mean()) + half]


def aues_interval(
    seeds: Sequence[Arms],
    *,
    rounds: int,
    generator: np.random.Generator,
    level: float = 0.95,
    people: People | None = None,
) -> list[float] | None:
    """Percentile interval [lo, hi] of the mean AUES difference over seeds; None below two seeds.

    "nested" draws people afresh inside every drawn seed. "crossed" draws them once a round for all
    seeds, which needs the same people in every seed and is then the wider, more honest choice: what
    is peculiar to a person does not average out over seeds. None is "crossed" where the people are
    the same, else "nested". Both miss the truth in 8 to 26% of studies with 4 to 8 seeds where 5%
    are promised; with three seeds the interval is about [least, largest]. For display only.
    """
    if len(seeds) < 2:
        return None
    seed_RS = generator.integers(0, len(seeds), size=(rounds, len(seeds)))
    draw = _crossed if (people or shared(seeds)) == "crossed" else _nested
    means_R = draw(seeds, seed_RS, generator).mean(axis=1)
    tail = 50 * (1 - level)
    return [float(edge) for edge in np.percentile(means_R, [tail, 100 - tail])]


def shared(seeds: Sequence[Arms]) -> People:
    """ "crossed" where all seeds have the same people, else "nested"."""
    same = same_people(seeds, "forget") and same_people(seeds, "retain")
    return "crossed" if same else "nested"


def _nested(
    seeds: Sequence[Arms], seed_RS: NDArray[np.int64], generator: np.random.Generator
) -> Floats:
    """Differences (R, S): every drawn seed with people of its own."""
    differences_RS = np.empty(seed_RS.shape)
    for seed, arms in enumerate(seeds):
        drawn = seed_RS == seed
        differences_RS[drawn] = arms.resample(int(drawn.sum()), generator)
    return differences_RS


def _crossed(
    seeds: Sequence[Arms], seed_RS: NDArray[np.int64], generator: np.random.Generator
) -> Floats:
    """Differences (R, S): one draw of people a round, the same for every seed."""
    if shared(seeds) != "crossed":
        raise UserError("people=crossed needs the same people in every seed: use people=nested")
    forget_RP = seeds[0].forget.draw(len(seed_RS), generator)
    retain_RP = seeds[0].retain.draw(len(seed_RS), generator)
    each_RS = np.stack([arms.difference(forget_RP, retain_RP) for arms in seeds], axis=1)
    return np.take_along_axis(each_RS, seed_RS, axis=1)
