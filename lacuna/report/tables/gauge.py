"""The gauge test: what becomes of a localizer where the same function has other vector lengths?"""

from collections.abc import Callable, Iterator
from typing import Annotated, cast

from typing_extensions import TypedDict

from lacuna.report.cells import Cell, StageRows, finished
from lacuna.report.columns import KEYS, RATIO, SEEDS, STATUS, N
from lacuna.report.localizers import localizer_cells
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of
from lacuna.results import Gauged, GaugeRecord, LocalizedRow, Row

Read = Callable[[Gauged], float | None]
SAME = 0.9999
"""Rank correlation from which on two rankings differ by rounding alone."""
UNDER = "over the rescalings of a seed, mean over seeds"


class GaugeRow(TypedDict):
    """One localizer over seeds."""

    ratio: Annotated[float | None, RATIO]
    localizer: Annotated[str | None, Column("Who looked for the facts")]
    status: Annotated[str, STATUS]
    n: Annotated[int, N]
    seeds: Annotated[list[int | None], SEEDS]
    invariant: Annotated[
        bool | None,
        Column(f"Whether every rescaling left the ranking as it was (correlation {SAME} or more)"),
    ]
    rank_correlation: Annotated[
        float | None, Column(f"Lowest rank correlation with the scores as they are, {UNDER}", "")
    ]
    kept: Annotated[
        float | None, Column(f"Lowest share of the region chosen again, {UNDER}", "share")
    ]
    precision_mean: Annotated[float | None, Column("Precision in the model as it is", "share")]
    precision_least: Annotated[float | None, Column(f"Lowest precision {UNDER}", "share")]
    precision_most: Annotated[float | None, Column(f"Highest precision {UNDER}", "share")]
    spread_mean: Annotated[
        float | None,
        Column("Mean over seeds: furthest from the precision as it is under a rescaling", "share"),
    ]
    spread_lo: Annotated[float | None, Column("Lower end of its 95% t interval", "share")]
    spread_hi: Annotated[float | None, Column("Upper end of its 95% t interval", "share")]
    auc_mean: Annotated[float | None, Column("AUC in the model as it is")]
    auc_least: Annotated[float | None, Column(f"Lowest AUC {UNDER}")]
    auc_most: Annotated[float | None, Column(f"Highest AUC {UNDER}")]
    balanced_precision: Annotated[
        float | None, Column("Precision where vectors are as long as their partner rows", "share")
    ]
    balanced_auc: Annotated[float | None, Column("AUC there")]
    keys: Annotated[list[str], KEYS]


@TABLES.register("gauge")
class Gauge(StudyTable):
    """Does a localizer read the function, or the lengths of vectors?"""

    order = 53
    title = "Gauge test of localizers"
    note = (
        "Value vectors and the rows that feed them rescaled so that the model computes the same: "
        "what a localizer then ranks otherwise says how the model is written down, not what it "
        "knows. balanced: a gauge that all models of one function share, so a gauge-fixed form of "
        "the localizer."
    )
    columns = columns_of(GaugeRow)
    optional = True

    @staticmethod
    def rows(results: Results) -> Iterator[GaugeRow]:
        """By ratio and localizer."""
        for (ratio, name), cell in localizer_cells(_asked(results.stages)).items():
            yield _row(ratio, name, cell)


def _row(ratio: float | None, name: str | None, cell: Cell[LocalizedRow]) -> GaugeRow:
    records = [_record(stage) for stage in cell.done]

    def mean(read: Read, of: Callable[[list[float]], float]) -> float | None:
        found = _each(records, read)
        return cell.spread([of(values) if values else None for values in found]).mean

    ranks = [value for values in _each(records, _correlation) for value in values]
    spread = cell.spread([_spread(stage) for stage in cell.done])
    balanced = [record and record["balanced"] for record in records]
    return {
        "ratio": ratio,
        "localizer": name,
        "status": cell.status,
        "n": spread.n,
        "seeds": cell.seeds,
        "invariant": min(ranks) >= SAME if ranks else None,
        "rank_correlation": mean(_correlation, min),
        "kept": mean(lambda one: one["kept"], min),
        "precision_mean": cell.over(lambda stage: stage["summary"].get("precision")).mean,
        "precision_least": mean(_precision, min),
        "precision_most": mean(_precision, max),
        "spread_mean": spread.mean,
        "spread_lo": spread.lo,
        "spread_hi": spread.hi,
        "auc_mean": cell.over(lambda stage: stage["summary"].get("auc")).mean,
        "auc_least": mean(_auc, min),
        "auc_most": mean(_auc, max),
        "balanced_precision": cell.spread([one and _precision(one) for one in balanced]).mean,
        "balanced_auc": cell.spread([one and _auc(one) for one in balanced]).mean,
        "keys": cell.keys,
    }


def _correlation(one: Gauged) -> float | None:
    return one["rank_correlation"]


def _precision(one: Gauged) -> float | None:
    return one["precision"]


def _auc(one: Gauged) -> float | None:
    return one["auc"]


def _each(records: list[GaugeRecord | None], read: Read) -> list[list[float]]:
    """By seed, what every rescaling says, where it is defined."""
    found = [[read(one) for one in record["random"]] if record else [] for record in records]
    return [[value for value in values if value is not None] for values in found]


def _spread(stage: LocalizedRow) -> float | None:
    record, own = _record(stage), stage["summary"].get("precision")
    if record is None or own is None:
        return None
    found = [one["precision"] for one in record["random"]]
    return max((abs(value - own) for value in found if value is not None), default=None)


def _asked(stages: StageRows) -> list[Row]:
    """The stages without localizers that were asked once; none where no rescaling was."""
    found = [s for s in stages if s["kind"] != "localized" or not finished(s) or _record(s)]
    return found if any(s["kind"] == "localized" and _record(s) for s in found) else []


def _record(stage: Row) -> GaugeRecord | None:
    return cast(LocalizedRow, stage)["summary"].get("gauge") if finished(stage) else None
