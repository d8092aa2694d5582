"""Block randomisation: which of a seed's k + 1 regions was the true one?

If the place does not matter, any of the k + 1 regions of a seed could have been called the true
one. All (k + 1)^n labellings of n seeds are equally likely then, and p is the share of them whose
statistic is at least as extreme as the observed one:

    statistic = sum over seeds of (value in the true region - mean of the k others)

Exact for whatever distribution, if the regions of a seed are exchangeable where the place does not
matter; conservative where random regions vary more among themselves than the true one would. It is
the only test here that can reach .05 with four seeds: p has a floor of (k + 1)^-n, or 2^(1 - n) for
k = 1 and two sides, since then both signs are labellings.

Shapes: n seeds, k + 1 regions of a seed, the true one first.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lacuna.errors import UserError
from lacuna.significance.arms import Floats

Alternative = Literal["two-sided", "greater", "less"]

MAX_HALF = 2**20
"""Most labellings of half of the seeds: all of both halves' pairs are counted, up to 2^40."""


class Blocks(NamedTuple):
    """Result of the test."""

    difference: float
    """Mean over seeds of the true region's value minus the mean of the others."""
    p: float
    floor: float
    """Smallest p that so many seeds and regions can give."""
    n: int
    regions: int
    """k, the number of other regions."""
    exact: bool
    """Whether all labellings were counted; else p is from a sample of them."""


def block_randomisation(
    values: ArrayLike,
    alternative: Alternative = "two-sided",
    *,
    generator: np.random.Generator | None = None,
    rounds: int = 100_000,
) -> Blocks:
    """Test that the true region (column 0) is like the others; `values` is (n, k + 1).

    "greater" and "less" ask whether its values are larger or smaller. Exact wherever both halves of
    the seeds have at most 2^20 labellings (k = 3: 20 seeds); beyond, `rounds` labellings are drawn
    from `generator`, the observed one counted as one more. Raises `UserError` for another shape, a
    value that is not finite, and without a generator where one is needed.
    """
    table = np.asarray(values, float)
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        raise UserError(
            f"block randomisation of values of shape {table.shape}: give a row per seed with the "
            f"true region and at least one other"
        )
    if not np.isfinite(table).all():
        raise UserError("block randomisation: a value is not finite: leave its seed out")
    n, k = table.shape[0], table.shape[1] - 1
    # The statistic of a seed if region j were the true one, in the same scale for any k.
    part = (table * (k + 1) - table.sum(axis=1, keepdims=True)) / k
    observed, slack = part[:, 0].sum(), 1e-12 * np.abs(part).max(axis=1).sum()
    half = n // 2
    is_exact = (k + 1) ** (n - half) <= MAX_HALF
    if is_exact:
        sums = _sums(part[:half]), np.sort(_sums(part[half:]))
        p = _share(*sums, observed, slack, alternative)
    elif generator is None:
        raise UserError(
            f"block randomisation of {n} seeds with {k} random regions has too many labellings to "
            f"count: pass a generator to draw some"
        )
    else:
        drawn = sum(row[generator.integers(0, k + 1, rounds)] for row in part)
        reached = _reached(np.asarray(drawn), observed, slack, alternative)
        p = (1 + reached) / (1 + rounds)
    return Blocks(float(observed / n), p, floor(n, k, alternative), n, k, is_exact)


def floor(n: int, k: int, alternative: Alternative = "two-sided") -> float:
    """Smallest p of n seeds with k random regions each."""
    both = k == 1 and alternative == "two-sided"
    return float((k + 1.0) ** -n * (2 if both else 1))


def _sums(part: Floats) -> Floats:
    """Sums over the rows for every choice of one entry a row."""
    sums = np.zeros(1)
    for row in part:
        sums = np.add.outer(sums, row).reshape(-1)
    return sums


def _share(
    left: Floats, right: Floats, observed: float, slack: float, alternative: Alternative
) -> float:
    """Share of all pairs whose sum is as extreme as `observed`; `right` is sorted."""
    count = 0
    above, below = observed, observed
    if alternative == "two-sided":
        above, below = abs(observed), -abs(observed)
        if above <= slack:
            return 1.0
    if alternative != "less":
        from_here = np.searchsorted(right, above - slack - left, side="left")
        count += int((len(right) - from_here).sum())
    if alternative != "greater":
        count += int(np.searchsorted(right, below + slack - left, side="right").sum())
    return count / (len(left) * len(right))


def _reached(sums: Floats, observed: float, slack: float, alternative: Alternative) -> int:
    """How many sums are as extreme as `observed`."""
    return round(len(sums) * _share(sums, np.zeros(1), observed, slack, alternative))
