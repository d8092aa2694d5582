"""Where facts were looked for: each localizer's cells, and every region and change of a study."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lacuna.report.cells import (
    Cell,
    CellKey,
    StageRows,
    finished,
    grouped,
    localizations,
    region_of,
    searches,
    tag,
    trials,
)
from lacuna.report.columns import LocatedPlace
from lacuna.results import LocalizedRow, LocalizerSummary, Overlap, TrialRow

CONTROLS = frozenset({"norm", "balanced_norm", "random", "random_layers", "complement", "uniform"})
"""Localizers that look at no fact."""
LocalizerKey = tuple[float | None, str | None]
"""(ratio, name)."""
Subject = Literal["localizer", "region", "change"]
"""A localizer's own region, the one a trial was allowed to touch, or what it changed most."""


def localizer_cells(stages: StageRows) -> dict[LocalizerKey, Cell[LocalizedRow]]:
    """Localizers by ratio and name: one stage per seed, tuning seeds left out.

    Of a seed's random regions the first; the others stand with the trials that were held to them.

    A stage may hold several localizers (its tag joins them by `+`, so that a failed one counts for
    each), and one localizer may have been run by two stages: a finished one stands for both.
    """
    tests = {tag(stage, "seed") for stage in trials(stages)}
    tuning = {tag(stage, "seed") for stage in searches(stages)} - tests
    chosen: dict[tuple[float | None, str, int | None], LocalizedRow] = {}
    for stage in localizations(stages):
        if region_of(stage) > 1:
            continue
        for name in str(tag(stage, "localizer")).split("+"):
            part: LocalizedRow = {**stage, "tags": {**stage["tags"], "localizer": name}}
            place = (tag(part, "ratio"), name, tag(part, "seed"))
            held = chosen.get(place)
            if place[2] not in tuning and (held is None or not finished(held)):
                chosen[place] = part
    return grouped(chosen.values(), lambda one: (tag(one, "ratio"), tag(one, "localizer")))


def privileges(cell: Cell[LocalizedRow]) -> list[str]:
    """What the cell's localizer is told that a real one would not know."""
    return sorted({word for stage in cell.done for word in stage["summary"]["privileges"]})


@dataclass(frozen=True)
class Located:
    """Regions of one kind over seeds, held against the target region, where the facts are."""

    ratio: float | None
    subject: Subject
    objective: str | None
    name: str | None
    """Of the localizer, or the scenario of the trials."""
    cell: Cell[LocalizedRow | TrialRow]
    records: Sequence[Overlap | LocalizerSummary | None]
    """Of the finished stages; None where nothing was located."""
    localizer: Cell[LocalizedRow] | None = None
    """The cell again, of a localizer."""

    @property
    def place(self) -> LocatedPlace:
        """The first columns of a row."""
        return {
            "ratio": self.ratio,
            "subject": self.subject,
            "objective": self.objective,
            "name": self.name,
        }


def located(stages: StageRows) -> Iterator[Located]:
    """Every located region and every change."""
    for (ratio, name), found in localizer_cells(stages).items():
        records = [stage["summary"] for stage in found.done]
        yield Located(ratio, "localizer", None, name, found, records, found)
    cells = grouped(trials(stages), CellKey.of)
    for subject, read in PARTS.items():
        for key, cell in cells.items():
            overlaps = [read(stage) for stage in cell.done]
            if cell.failed or any(overlaps):
                yield Located(key.ratio, subject, key.objective, key.scenario, cell, overlaps)


def _region(stage: TrialRow) -> Overlap | None:
    record = stage["summary"]["localization"]
    return record and record["region"]


def _change(stage: TrialRow) -> Overlap | None:
    record = stage["summary"]["localization"]
    return record and record["change"]


PARTS: dict[Subject, Callable[[TrialRow], Overlap | None]] = {"region": _region, "change": _change}
"""What a trial says of the region it was allowed to touch, and of what it changed."""
