"""Localization precision of single weights, as trials record it: a row per truth and score."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from lacuna.report.cells import (
    Cell,
    CellKey,
    StageRows,
    grouped,
    number,
    tag,
    trials,
)
from lacuna.results import ChangedInside, PrecisionRecord, PrecisionScore, RoundedArea, TrialRow

T = TypeVar("T", PrecisionScore, ChangedInside, RoundedArea)
Chances = dict[tuple[float | None, int | None], float]
"""(ratio, seed) -> share of the weights that are to forget."""


def record_of(stage: TrialRow) -> PrecisionRecord | None:
    """The record of a finished trial; None in studies of value vectors."""
    return stage["summary"].get("precision")


def measured(cell: Cell[TrialRow]) -> list[tuple[str, str]]:
    """(truth, score) of everything that any finished stage has, headline scores first."""
    found = dict.fromkeys(
        (row["truth"], row["score"], not row["headline"])
        for stage in cell.done
        if (record := record_of(stage)) is not None
        for row in record["scores"]
    )
    return [(truth, score) for truth, score, _ in sorted(found, key=lambda name: name[2])]


def scores(cell: Cell[TrialRow], truth: str, score: str) -> list[PrecisionScore | None]:
    """One score against one truth in each finished stage; None where it was not measured."""
    return [
        _first(
            record and record["scores"], lambda row: (row["truth"], row["score"]) == (truth, score)
        )
        for record in map(record_of, cell.done)
    ]


def inside(cell: Cell[TrialRow], truth: str) -> list[ChangedInside | None]:
    """The changed weights as a set against one truth, in each finished stage."""
    return [
        _first(record and record["inside"], lambda row: row["truth"] == truth)
        for record in map(record_of, cell.done)
    ]


def rounded_areas(cell: Cell[TrialRow], truth: str) -> list[RoundedArea | None]:
    """The headline score after rounding to bfloat16, in each finished stage."""
    return [
        _first(record and record.get("bfloat16"), lambda row: row["truth"] == truth)
        for record in map(record_of, cell.done)
    ]


def _first(rows: Sequence[T] | None, wanted: Callable[[T], bool]) -> T | None:
    return next((row for row in rows or () if wanted(row)), None)


def read(rows: Sequence[T | None], one: Callable[[T], float | None]) -> list[float | None]:
    """What `one` finds in each row; None where there is none."""
    return [None if row is None else number(one(row)) for row in rows]


def headline(stages: StageRows) -> Iterator[tuple[CellKey, Cell[TrialRow], str]]:
    """Cells with the headline score against the masks to forget, and that score's name."""
    for key, cell in grouped(trials(stages), CellKey.of).items():
        names = [score for truth, score in measured(cell) if truth == "forget"]
        if names:
            yield key, cell, names[0]


def chances(stages: StageRows) -> Chances:
    """What a blind choice of weights hits, by ratio and seed; none in studies of value vectors.

    There a region's share is the ratio; here a ratio is the share of one group's mask.
    """
    shares: Chances = {}
    for key, cell, score in headline(stages):
        for stage, row in zip(cell.done, scores(cell, "forget", score), strict=True):
            if row is not None:
                shares[key.ratio, tag(stage, "seed")] = row["chance"]
    return shares
