"""Measured beside published: every printed value of a cell that the study has, and its difference.

The paper's models and data are others than the study's unless a row says so: a difference is no
error of either side.
"""

from collections.abc import Iterator
from typing import Annotated

from typing_extensions import TypedDict

from lacuna.report.cells import ORACLE
from lacuna.report.columns import KEYS, OBJECTIVE, RATIO, SCENARIO, N
from lacuna.report.published import SOURCE, cells_beside, differences_beside
from lacuna.report.results import Results
from lacuna.report.scores import chances
from lacuna.report.table import TABLES, Column, StudyTable, columns_of
from lacuna.report.tables.main import Main, MainRow

METRIC = "as the measure"


class BesideRow(TypedDict):
    """A printed number and the study's own."""

    ratio: Annotated[float | None, RATIO]
    objective: Annotated[str | None, OBJECTIVE]
    scenario: Annotated[str | None, SCENARIO]
    measure: Annotated[
        str,
        Column(
            "AUES: area under the curve of retain strength over forget strength. MU95: forget "
            "quality (log10 p) where model utility has fallen to 95%"
        ),
    ]
    what: Annotated[str, Column("`value` of the cell, or its `|oracle - random|`, mean over seeds")]
    measured: Annotated[float | None, Column("This study's mean over seeds", METRIC)]
    measured_sd: Annotated[float | None, Column("Its standard deviation over seeds", METRIC)]
    n: Annotated[int, N]
    published: Annotated[float, Column("The printed value", METRIC)]
    published_sd: Annotated[float | None, Column("The printed standard deviation", METRIC)]
    published_n: Annotated[int, Column("Random regions or seeds that it is over")]
    difference: Annotated[float | None, Column("Measured minus published", METRIC)]
    model: Annotated[str, Column("The paper's model")]
    data: Annotated[str, Column("The paper's data")]
    table: Annotated[int, Column("Number of the table in the paper")]
    keys: Annotated[list[str] | None, KEYS]


@TABLES.register("beside")
class Beside(StudyTable):
    """What the paper prints of a study's cells; of value vectors only, as the paper has them."""

    order = 12
    title = "Measured beside published"
    note = (
        f"{SOURCE}; measured on this study's model and data, published on the paper's: a "
        f"difference between them is no error of either."
    )
    columns = columns_of(BesideRow)
    optional = True

    @staticmethod
    def rows(results: Results) -> Iterator[BesideRow]:
        """By cell and measure, in the order of the main table."""
        if not chances(results.stages):
            for row in Main.rows(results):
                yield from _beside(row)


def _beside(row: MainRow) -> Iterator[BesideRow]:
    place = (str(row["objective"]), str(row["scenario"]), row["measure"], row["ratio"])
    for cell in cells_beside(*place):
        source = (cell.model, cell.data, cell.table)
        own = (row["mean"], row["sd"])
        yield _row(row, "value", own, (cell.mean, cell.sd, cell.n), source)
    if row["scenario"] == ORACLE:
        for gap in differences_beside(place[0], row["measure"], row["ratio"]):
            source = (gap.model, gap.data, gap.table)
            own = (row["abs_diff_mean"], row["abs_diff_sd"])
            yield _row(row, "|oracle - random|", own, (gap.mean, gap.sd, gap.n), source)


def _row(
    row: MainRow,
    what: str,
    own: tuple[float | None, float | None],
    printed: tuple[float, float | None, int],
    source: tuple[str, str, int],
) -> BesideRow:
    (mean, sd), (published, published_sd, published_n), (model, data, table) = own, printed, source
    return {
        "ratio": row["ratio"],
        "objective": row["objective"],
        "scenario": row["scenario"],
        "measure": row["measure"],
        "what": what,
        "measured": mean,
        "measured_sd": sd,
        "n": row["n"],
        "published": published,
        "published_sd": published_sd,
        "published_n": published_n,
        "difference": None if mean is None else mean - published,
        "model": model,
        "data": data,
        "table": table,
        "keys": row["keys"],
    }
