"""A seed-paired test from what a paper prints: two means, mean and sd of |difference|, n.

Lee et al. (2025, Table 2) print for each cell the mean over n seeds of both scenarios and of the
seeds' absolute difference with its standard deviation, beside a p-value that is not one over seeds
(`published`). These fix the sum of the squared differences, hence the paired standard deviation:

    sum d^2 = (n - 1) sd_abs^2 + n mean_abs^2        sd^2 = (sum d^2 - n d^2) / (n - 1)

and with it Student's t over seeds. A printed sd is taken as a sample one (n - 1). What the rounding
of the printed numbers, and the other reading of sd (n), could make of p is given as a range.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import scipy

from lacuna.errors import UserError
from lacuna.significance.decide import Decision, no_better


@dataclass(frozen=True)
class Printed:
    """One cell as printed: means of a and b, mean and sd of |a - b| over n seeds."""

    mean_a: float
    mean_b: float
    mean_abs: float
    sd_abs: float
    n: int
    unit: float
    """One unit of the last printed digit (.001, .01): each number may be off by half of it."""


@dataclass(frozen=True)
class Reanalysed:
    """The seed-paired test of one printed cell."""

    difference: float
    sd: float
    """Of the seeds' differences."""
    low: float
    high: float
    p: float
    p_low: float
    """Least p of all values that round to the printed ones, whichever the paper's sd is."""
    p_high: float
    """Largest such p."""
    n: int

    def decision(self, margin: float) -> Decision:
        """Whether a is no better than b by the margin."""
        return no_better(self.low, self.high, margin)


def reanalyse(cell: Printed, level: float = 0.95) -> Reanalysed:
    """Difference, paired sd, t interval and two-sided p of a printed cell.

    Raises `UserError` below two seeds, and where no differences could have given these numbers: a
    mean of |d| smaller than |mean d| by more than rounding.
    """
    if cell.n < 2:
        raise UserError(f"n = {cell.n}: a paired test needs at least 2 seeds")
    difference = cell.mean_a - cell.mean_b
    # Each mean is off by half a unit at most, so the difference and |d| together by 1.5 units.
    if cell.sd_abs < 0 or abs(difference) > cell.mean_abs + 1.5 * cell.unit:
        raise UserError(
            f"printed |d| = {cell.mean_abs:g} +- {cell.sd_abs:g} is impossible for means "
            f"{cell.mean_a:g} and {cell.mean_b:g}"
        )
    sd = _paired_sd(difference, cell.mean_abs, cell.sd_abs, cell.n)
    half = float(scipy.stats.t.ppf((1 + level) / 2, cell.n - 1)) * sd / cell.n**0.5
    p_values = list(_around(cell))
    return Reanalysed(
        difference=difference,
        sd=sd,
        low=difference - half,
        high=difference + half,
        p=_p(difference, sd, cell.n),
        p_low=min(p_values),
        p_high=max(p_values),
        n=cell.n,
    )


def _around(cell: Printed) -> Iterator[float]:
    """p at the corners of what rounds to the printed numbers, for both readings of sd."""
    half = cell.unit / 2
    other = (cell.n / (cell.n - 1)) ** 0.5
    for one, two, three, factor in product((-1, 0, 1), (-1, 0, 1), (-1, 0, 1), (1.0, other)):
        difference = cell.mean_a - cell.mean_b + 2 * half * one
        mean_abs, sd_abs = cell.mean_abs + half * two, cell.sd_abs + half * three
        sd = _paired_sd(difference, mean_abs, max(0.0, sd_abs) * factor, cell.n)
        yield _p(difference, sd, cell.n)


def _paired_sd(difference: float, mean_abs: float, sd_abs: float, n: int) -> float:
    squares = (n - 1) * sd_abs**2 + n * mean_abs**2
    return math.sqrt(max(0.0, squares - n * difference**2) / (n - 1))


def _p(difference: float, sd: float, n: int) -> float:
    if not sd:
        return 0.0 if difference else 1.0
    return float(2 * scipy.stats.t.sf(abs(difference) * n**0.5 / sd, n - 1))
