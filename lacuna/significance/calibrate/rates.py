"""From what the methods said to how often they were right: coverage, size, power."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from lacuna.significance.arms import Floats
from lacuna.significance.calibrate.methods import DECIDING, INTERVALS, Key, Truths, effects

Hits = NDArray[np.bool_]

LEVEL = 0.05
TOLERANCE = 1e-12
"""An interval of no width covers a truth this close."""


@dataclass(frozen=True)
class Rate:
    """A share of studies with its Monte-Carlo standard error."""

    share: float
    se: float

    @classmethod
    def of(cls, hits: Hits) -> "Rate":
        """Of (N,) studies."""
        share = float(np.mean(hits))
        return cls(share, float((share * (1 - share) / len(hits)) ** 0.5))


@dataclass(frozen=True)
class Power:
    """How often an effect is found."""

    effect: float
    share: float
    se: float


@dataclass(frozen=True)
class Row:
    """How one method does on one shape."""

    shape: str
    seeds: int
    regions: int
    estimand: str
    method: str
    studies: int
    margin: float
    coverage: Rate | None
    """Of a 95% interval; None for a test."""
    size: Rate
    """Share of studies that reject the truth at .05."""
    power: tuple[Power, ...]
    """At the margin and at twice the margin."""
    false_holds: Rate | None
    """Share that call a true difference of the margin "no better" (high < margin)."""
    holds: Rate | None
    """Share that do so where there is no difference."""


def rows(shape: str, found: Mapping[Key, Floats], truths: Truths) -> list[Row]:
    """One row for each method; `found` holds its outcomes (N, 2) or (N, 3) over studies."""
    return [
        _interval_row(shape, key, ends, truths[key.estimand, key.regions])
        if key.method in INTERVALS
        else _test_row(shape, key, ends)
        for key, ends in sorted(found.items(), key=lambda item: _order(item[0]))
    ]


def plain(row: Row) -> dict[str, object]:
    """As JSON."""
    return asdict(row)


def table(found: Sequence[Row]) -> str:
    """Rows as text, in columns."""
    names = ("shape", "n", "k", "estimand", "method", "coverage", "size")
    head = (*names, "power 1x", "power 2x", "holds", "false holds")
    lines = [head, *(_cells(row) for row in found)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def summary(found: Sequence[Row]) -> list[str]:
    """What the deciding interval must show, a line each, with the range seen."""
    deciding = [row for row in found if (row.estimand, row.method) == DECIDING]
    covered = [row.coverage.share for row in deciding if row.coverage]
    false = [row.false_holds.share for row in deciding if row.false_holds]
    blocks = [
        row.size.share
        for row in found
        if (row.estimand, row.method) == (DECIDING[0], "block randomisation")
    ]
    if not deciding:
        return []
    name = " of ".join(reversed(DECIDING))
    return [
        f"{name}: coverage {min(covered):.3f} to {max(covered):.3f} (wanted: .93 to .995)",
        f"{name}: false holds at the margin at most {max(false):.3f} (wanted: at most .035)",
        f"block randomisation of {DECIDING[0]}: size {min(blocks):.3f} to {max(blocks):.3f} "
        f"(about these people only; below .03 is conservative, above .07 too often)",
    ]


def _interval_row(shape: str, key: Key, ends: Floats, truth: float) -> Row:
    """A difference of d moves an interval by d: coverage is the same at every effect."""
    low, high = ends[:, 0] - truth, ends[:, 1] - truth
    covered = (low <= TOLERANCE) & (high >= -TOLERANCE)
    found = tuple(
        _power(effect, (low + effect > TOLERANCE) | (high + effect < -TOLERANCE))
        for effect in effects(key.estimand)[1:]
    )
    margin = float(effects(key.estimand)[1])
    return Row(
        shape, key.seeds, key.regions, key.estimand, key.method, len(ends), margin,
        coverage=Rate.of(covered),
        size=Rate.of(~covered),
        power=found,
        false_holds=Rate.of(high < -TOLERANCE),
        holds=Rate.of(high < margin),
    )  # fmt: skip


def _test_row(shape: str, key: Key, p: Floats) -> Row:
    rejected = p <= LEVEL + TOLERANCE
    found = zip(effects(key.estimand)[1:], rejected.T[1:], strict=True)
    return Row(
        shape, key.seeds, key.regions, key.estimand, key.method, len(p),
        float(effects(key.estimand)[1]),
        coverage=None,
        size=Rate.of(rejected[:, 0]),
        power=tuple(_power(effect, hits) for effect, hits in found),
        false_holds=None,
        holds=None,
    )  # fmt: skip


def _power(effect: float, hits: Hits) -> Power:
    return Power(float(effect), **asdict(Rate.of(hits)))


def _order(key: Key) -> tuple[int, int, int, int, str]:
    estimands = ("matched AUES", "AUES", "MU95")
    known = (*INTERVALS, "sign-flip", "block randomisation")
    place = known.index(key.method) if key.method in known else len(known)
    return (estimands.index(key.estimand), key.regions, key.seeds, place, key.method)


def _cells(row: Row) -> tuple[str, ...]:
    rates = (row.coverage, row.size, *row.power, row.holds, row.false_holds)
    shown = ("-" if rate is None else f"{rate.share:.3f}" for rate in rates)
    return (row.shape, str(row.seeds), str(row.regions), row.estimand, row.method, *shown)
