"""Necessity and sufficiency: do facts go with a localized region, and come with it?"""

from collections.abc import Iterator
from typing import Annotated, cast

from typing_extensions import TypedDict

from lacuna.report.cells import Spread, StageRows, finished
from lacuna.report.columns import KEYS, RATIO, SEEDS, STATUS, N
from lacuna.report.localizers import localizer_cells
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, Recorded, StudyTable, columns_of
from lacuna.report.tables.transplant import HIGH, LOW, SHARE, share
from lacuna.results import LocalizedRow, Row, SwapRecord

LOST = f"the injected model loses with the region put back to retained values: {SHARE}"
BROUGHT = f"the retained model gains with the region's injected values: {SHARE}"


class NecessityRow(TypedDict):
    """One localizer over seeds."""

    ratio: Annotated[float | None, RATIO]
    localizer: Annotated[
        str | None, Column("Whose region; `oracle` is the target itself, `random` a blind draw")
    ]
    status: Annotated[str, STATUS]
    n: Annotated[int, N]
    seeds: Annotated[list[int | None], SEEDS]
    recall_mean: Annotated[
        float | None, Column("Mean share of the target that lies in the region", "share", "higher")
    ]
    necessity_mean: Annotated[float | None, Column(f"Mean of what {LOST}", "", "higher")]
    necessity_lo: Annotated[float | None, Column(f"{LOW} mean necessity", "share")]
    necessity_hi: Annotated[float | None, Column(f"{HIGH} mean necessity", "share")]
    necessity: Annotated[list[float | None], Column("Necessity by seed", "share")]
    sufficiency_mean: Annotated[float | None, Column(f"Mean of what {BROUGHT}", "", "higher")]
    sufficiency_lo: Annotated[float | None, Column(f"{LOW} mean sufficiency", "share")]
    sufficiency_hi: Annotated[float | None, Column(f"{HIGH} mean sufficiency", "share")]
    sufficiency: Annotated[list[float | None], Column("Sufficiency by seed", "share")]
    keys: Annotated[list[str], KEYS]


@TABLES.register("necessity")
class Necessity(StudyTable):
    """Regions of localizers, held against what they do rather than where they lie."""

    order = 52
    title = "Necessity and sufficiency"
    note = (
        "Each localizer's region exchanged between injected and retained model. necessity: share "
        "of what injection brought that the injected model loses without the region's values; "
        "sufficiency: share that they alone bring to the retained model. Both are 1 of the target "
        "itself where it is all that injection changed (protocol lee), and 0 of a region clear of "
        "it; `random`, a blind draw, is the null."
    )
    columns = columns_of(NecessityRow)
    recorded = Recorded(("ratio", "localizer"), ("necessity_mean", "sufficiency_mean"), 0.05)
    optional = True

    @staticmethod
    def rows(results: Results) -> Iterator[NecessityRow]:
        """By ratio and localizer."""
        for (ratio, name), cell in localizer_cells(_swapped(results.stages)).items():
            records = [stage["summary"].get("swap") for stage in cell.done]
            lost = cell.paired([record and _necessity(record) for record in records])
            brought = cell.paired([record and _sufficiency(record) for record in records])
            necessity, sufficiency = (Spread.whole(x.values()) for x in (lost, brought))
            yield {
                "ratio": ratio,
                "localizer": name,
                "status": cell.status,
                "n": sufficiency.n,
                "seeds": list(lost),
                "recall_mean": cell.over(lambda stage: stage["summary"].get("recall")).mean,
                "necessity_mean": necessity.mean,
                "necessity_lo": necessity.lo,
                "necessity_hi": necessity.hi,
                "necessity": list(lost.values()),
                "sufficiency_mean": sufficiency.mean,
                "sufficiency_lo": sufficiency.lo,
                "sufficiency_hi": sufficiency.hi,
                "sufficiency": list(brought.values()),
                "keys": cell.keys,
            }


def _swapped(stages: StageRows) -> list[Row]:
    """The stages without regions that were not exchanged; none where no region was."""
    found = [s for s in stages if s["kind"] != "localized" or not finished(s) or _record(s)]
    return found if any(s["kind"] == "localized" and _record(s) for s in found) else []


def _record(stage: Row) -> SwapRecord | None:
    return cast(LocalizedRow, stage)["summary"].get("swap") if finished(stage) else None


def _necessity(record: SwapRecord) -> float | None:
    left = share(record["without_es"], record["floor_es"], record["ceiling_es"])
    return None if left is None else 1 - left


def _sufficiency(record: SwapRecord) -> float | None:
    return share(record["alone_es"], record["floor_es"], record["ceiling_es"])
