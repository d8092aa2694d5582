"""The primary test: paired differences of seeds, the unit that was drawn independently.

A seed draws the region, the injection and the unlearning run, so two scenarios differ as methods
only if they differ over seeds.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from lacuna.errors import UserError

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
