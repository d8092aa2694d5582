"""Means of every metric over the forget and the retain questions, those of other packages too."""

from collections.abc import Iterator
from typing import Annotated

from typing_extensions import TypedDict

from lacuna.report.attacks import Attacked, attack_cells
from lacuna.report.cells import Cell, Spread, number
from lacuna.report.columns import KEYS, SEEDS, STATUS, AttackPlace, N
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of


class Means(TypedDict):
    """One metric over seeds."""

    metric: Annotated[str, Column("Metric of single questions, by its registered name")]
    status: Annotated[str, STATUS]
    n: Annotated[int, N]
    seeds: Annotated[list[int | None], SEEDS]
    forget_mean: Annotated[
        float | None,
        Column("Mean over seeds of the mean over the questions to forget", "as the metric"),
    ]
    forget_sd: Annotated[
        float | None,
        Column("Standard deviation over seeds of the mean to forget", "as the metric"),
    ]
    retain_mean: Annotated[
        float | None,
        Column("Mean over seeds of the mean over the questions to keep", "as the metric"),
    ]
    retain_sd: Annotated[
        float | None,
        Column("Standard deviation over seeds of the mean to keep", "as the metric"),
    ]


class MetricRow(AttackPlace, Means):
    """A metric of the models of one cell."""

    keys: Annotated[list[str], KEYS]


@TABLES.register("metrics")
class Metrics(StudyTable):
    """No rows where stages are older than their metrics."""

    order = 95
    title = "Metrics"
    note = (
        "Every registered metric of single questions, averaged; each question's own value is in "
        "the stage's items.json. Of trials at alpha = 1. A stage that was finished before a metric "
        "was installed has no value of it, which leaves the cell blank."
    )
    columns = columns_of(MetricRow)
    optional = True

    @staticmethod
    def rows(results: Results) -> Iterator[MetricRow]:
        """By cell, then by metric."""
        for place, cell in attack_cells(results.stages):
            found = [stage["summary"].get("metrics", {}) for stage in cell.done]
            for metric in dict.fromkeys(n for one in found for n in one.get("forget", {})):
                yield {**place, **_means(cell, metric), "keys": cell.keys}


def _means(cell: Cell[Attacked], metric: str) -> Means:
    forget, retain = (_spread(cell, split, metric) for split in ("forget", "retain"))
    return {
        "metric": metric,
        "status": cell.status,
        "n": forget.n,
        "seeds": cell.seeds,
        "forget_mean": forget.mean,
        "forget_sd": forget.sd,
        "retain_mean": retain.mean,
        "retain_sd": retain.sd,
    }


def _spread(cell: Cell[Attacked], split: str, metric: str) -> Spread:
    return cell.spread(
        [
            number(stage["summary"].get("metrics", {}).get(split, {}).get(metric))
            for stage in cell.done
        ]
    )
