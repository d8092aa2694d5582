"""Every learning rate tried on the tuning seeds, and the one each cell was tested with."""

from collections.abc import Iterator, Mapping
from typing import Annotated, NamedTuple

from lacuna.evaluate.curve_summaries import FS_WINDOW
from lacuna.report.cells import (
    Cell,
    CellKey,
    TrialKey,
    by_parts,
    grouped,
    searches,
    tag,
    trials,
)
from lacuna.report.columns import KEYS, SEEDS, STATUS, N, Place
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of
from lacuna.results import SearchRow

FS, RS = "forget strength at alpha 1 (1: recites nothing)", "retain strength at alpha 1"


class RateRow(Place):
    """A rate of a cell."""

    turn: Annotated[int | None, Column("The order in which a cell's rates were asked for")]
    status: Annotated[str, STATUS]
    n: Annotated[int, N]
    seeds: Annotated[list[int | None] | None, SEEDS]
    fs: Annotated[float | None, Column(f"Mean over tuning seeds of {FS}", "share")]
    rs: Annotated[float | None, Column(f"Mean over tuning seeds of {RS}", "share", "higher")]
    aues: Annotated[
        float | None,
        Column(
            "Mean over tuning seeds of the area under the curve of retain over forget strength",
            "",
            "higher",
        ),
    ]
    in_window: Annotated[
        bool | None, Column("Whether forget strength ends in the window on every tuning seed")
    ]
    chosen: Annotated[bool, Column("Whether the cell is tested with this rate")]
    choice: Annotated[
        str | None,
        Column("Why the cell's rate was chosen, or why none of its rates fits", long=True),
    ]
    keys: Annotated[list[str] | None, KEYS]


class Choice(NamedTuple):
    """The rate that a cell is tested with, and why, where that was recorded."""

    lr: float | None
    reason: str | None


@TABLES.register("search")
class Search(StudyTable):
    """Every rate that was tried, and the choice of each cell."""

    order = 110
    title = "Learning-rate search"
    columns = columns_of(RateRow)

    @staticmethod
    def rows(results: Results) -> Iterator[RateRow]:
        """Rates by cell, those given up early among them; then cells that needed no search."""
        choices, window = chosen(results), window_of(results)
        stages = searches(results.stages)
        whole = grouped((s for s in stages if tag(s, "rung") is None), TrialKey.of)
        rungs = grouped((s for s in stages if tag(s, "rung") is not None), TrialKey.of)
        for key in sorted({*whole, *rungs}, key=by_parts):
            choice = choices.get(key.cell)
            if key in whole:
                yield _ended(key, whole[key], choice, window)
            else:
                yield _stopped(key, rungs[key], choice)
        tried = {key.cell for key in (*whole, *rungs)}
        for cell in sorted(choices.keys() - tried, key=by_parts):
            yield _given(cell, choices[cell])

    @classmethod
    def note_for(cls, results: Results) -> str:
        """With the window of the study."""
        low, high = window_of(results)
        return (
            "turn: the order in which a cell's rates were asked for. Means over the tuning seeds, "
            "which are not the test seeds. in_window: FS at alpha = 1 lies in "
            f"[{low:g}, {high:g}) on every tuning seed. stopped: given up after that many steps, "
            "as other rates were ahead; it has no final score. choice: why the cell's rate was "
            "chosen, or why none of its rates fits."
        )


def window_of(results: Results) -> tuple[float, float]:
    """The forget strength that a rate should reach: from low up to, but not, high."""
    search = results.config.get("search") or {}
    return float(search.get("fs_low", FS_WINDOW[0])), float(search.get("fs_high", FS_WINDOW[1]))


def chosen(results: Results) -> Mapping[CellKey, Choice]:
    """The choice of each cell; read off the test trials where none was recorded."""
    choices = {
        CellKey(c["ratio"], c["objective"], c["scenario"]): Choice(c["lr"], c["reason"])
        for c in results.choices
    }
    for stage in trials(results.stages):
        choices.setdefault(CellKey.of(stage), Choice(tag(stage, "lr"), None))
    return choices


def _ended(
    key: TrialKey, cell: Cell[SearchRow], choice: Choice | None, window: tuple[float, float]
) -> RateRow:
    """A rate that was tried to the end."""
    ends = cell.values(lambda stage: stage["summary"]["fs_end"])
    inside = all(end is not None and window[0] <= end < window[1] for end in ends)
    fs = cell.spread(ends)
    return {
        **key.place,
        "turn": tag((*cell.done, *cell.failed)[0], "turn"),
        "status": cell.status,
        "n": fs.n,
        "seeds": cell.seeds,
        "fs": fs.mean,
        "rs": cell.over(lambda stage: stage["summary"]["rs_end"]).mean,
        "aues": cell.over(lambda stage: stage["summary"]["aues"]).mean,
        "in_window": inside and not cell.failed,
        "chosen": choice is not None and choice.lr == key.lr,
        "choice": choice and choice.reason,
        "keys": cell.keys,
    }


def _stopped(key: TrialKey, cell: Cell[SearchRow], choice: Choice | None) -> RateRow:
    """A rate that was tried on rungs only: the last one tells where it was given up."""
    stages = (*cell.done, *cell.failed)
    last = max(tag(stage, "rung") or 0 for stage in stages)
    return {
        **key.place,
        "turn": tag(stages[0], "turn"),
        "status": cell.status if cell.failed else f"stopped after {last} steps",
        "n": 0,
        "seeds": [],
        "fs": None,
        "rs": None,
        "aues": None,
        "in_window": False,
        "chosen": False,
        "choice": choice and choice.reason,
        "keys": cell.keys,
    }


def _given(cell: CellKey, choice: Choice) -> RateRow:
    """A cell whose rate was given, or that none fits."""
    return {
        **TrialKey(*cell, choice.lr).place,
        "turn": None,
        "status": "not searched",
        "n": 0,
        "seeds": None,
        "fs": None,
        "rs": None,
        "aues": None,
        "in_window": None,
        "chosen": choice.lr is not None,
        "choice": choice.reason,
        "keys": None,
    }
