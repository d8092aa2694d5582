"""How many seeds and random regions a decision needs, from a pilot's spread.

A seed's difference is its value in the true region minus the mean of its k random ones, so with
standard deviations s_true and s_random of regions within a seed

    sd(k)^2 = s_true^2 + s_random^2 / k

What a seed's arms share cancels. Decisions are one-sided by t over seeds at 2.5% (the ends of the
95% interval), so their power is that of a noncentral t with n - 1 degrees of freedom:

    "holds" (high < margin) at a true difference d:  noncentrality (margin - d) sqrt(n) / sd(k)
    "better" (low > 0) at a true difference d:       noncentrality d sqrt(n) / sd(k)

People add variance that more seeds do not take away (`two_way`), so where the place matters for
some people only, the true power is lower. A pilot of few seeds knows its sd badly (four: within a
factor of .57 to 3.7), so plan with a margin for that.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from lacuna.errors import UserError

MAX_SEEDS = 64
MAX_REGIONS = 8


@dataclass(frozen=True)
class Spread:
    """Standard deviations of regions within a seed."""

    true: float
    random: float

    def of_difference(self, regions: int) -> float:
        """sd(k) of a seed's difference with k random regions."""
        return float((self.true**2 + self.random**2 / regions) ** 0.5)


@dataclass(frozen=True)
class Need:
    """A design that reaches the wanted power."""

    seeds: int
    regions: int
    power: float
    cost: int
    """In unlearning runs: n (injection + 1 + k)."""


def spread_from_pilot(
    differences: ArrayLike, regions: int = 1, random_pairs: ArrayLike | None = None
) -> Spread:
    """Spread of regions from a pilot's differences (n,), true minus mean of `regions` random ones.

    `random_pairs` are differences of two random regions of one seed (the A/A arm) and fix the
    random regions' share; without them all regions are taken to vary alike. Where the random share
    alone exceeds what the differences show, the true region's is 0. Raises `UserError` below two
    differences.
    """
    total = _variance(differences, "differences")
    if random_pairs is None:
        each = float((total / (1 + 1 / regions)) ** 0.5)
        return Spread(each, each)
    random = _variance(random_pairs, "differences of random regions") / 2
    return Spread(float(max(0.0, total - random / regions) ** 0.5), float(random**0.5))


def power_no_better(
    spread: Spread, n: int, k: int, margin: float, true: float = 0.0, level: float = 0.95
) -> float:
    """Chance that "no better by `margin`" holds with n seeds and k regions if the truth is `true`.

    At `true` = `margin` it is the chance of a false "holds", (1 - level) / 2.
    """
    return _power(margin - true, spread, n, k, level)


def power_better(spread: Spread, n: int, k: int, true: float, level: float = 0.95) -> float:
    """Chance that the interval lies above 0 with n seeds and k regions if the truth is `true`."""
    return _power(true, spread, n, k, level)


def needed(
    spread: Spread, distance: float, power: float = 0.8, injection: int = 3, level: float = 0.95
) -> list[Need]:
    """For each k the fewest seeds that reach `power`, cheapest first; empty if 64 do not.

    `distance` is the margin for "no better" at equality, or the effect for "better"; `injection` is
    what a seed costs before its first trial, in unlearning runs. Raises `UserError` for a distance
    that is not above 0 or a power outside (0, 1).
    """
    if not (np.isfinite(distance) and distance > 0):
        raise UserError(f"margin or effect {distance:g}: give a number above 0")
    if not 0 < power < 1:
        raise UserError(f"power {power:g}: give a share above 0 and below 1")
    found = list(_fewest(spread, distance, power, injection, level))
    return sorted(found, key=lambda need: (need.cost, need.seeds))


def _fewest(
    spread: Spread, distance: float, power: float, injection: int, level: float
) -> Iterator[Need]:
    for k in range(1, MAX_REGIONS + 1):
        for n in range(2, MAX_SEEDS + 1):
            reached = _power(distance, spread, n, k, level)
            if reached >= power:
                yield Need(n, k, reached, n * (injection + 1 + k))
                break


def _power(distance: float, spread: Spread, n: int, k: int, level: float) -> float:
    """Chance that a t of n seeds exceeds its bound if its mean is `distance` away."""
    if n < 2 or k < 1:
        raise UserError(f"n = {n} seeds with k = {k} regions: at least 2 and 1 are needed")
    sd = spread.of_difference(k)
    if not sd:
        return 1.0 if distance > 0 else 0.0
    bound = scipy.stats.t.ppf((1 + level) / 2, n - 1)
    return float(scipy.stats.nct.sf(bound, n - 1, distance * n**0.5 / sd))


def _variance(values: ArrayLike, what: str) -> float:
    found = np.asarray(values, float)
    if found.size < 2 or not np.isfinite(found).all():
        raise UserError(f"the pilot holds {found.size} {what}: at least 2 finite ones are needed")
    return float(found.var(ddof=1))
