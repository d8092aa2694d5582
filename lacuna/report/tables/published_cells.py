"""All published cells and differences, with their table."""

from collections.abc import Iterator
from typing import Annotated

from typing_extensions import TypedDict

from lacuna.report.columns import OBJECTIVE
from lacuna.report.published import CELLS, DIFFERENCES, SOURCE
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of


class PublishedRow(TypedDict):
    """A printed number."""

    table: Annotated[int, Column("Number of the table in the paper")]
    model: Annotated[str, Column("The paper's model")]
    data: Annotated[str, Column("The paper's data")]
    unit: Annotated[str | None, Column("What regions consist of: value vectors or weights")]
    ratio: Annotated[float, Column("Size of the region: share of all units")]
    objective: Annotated[str, OBJECTIVE]
    scenario: Annotated[
        str | None,
        Column(
            "`oracle`: the region of the facts; `random`; a localizer's region; `original`: before "
            "unlearning"
        ),
    ]
    metric: Annotated[
        str,
        Column(
            "AUES: area under the curve of retain strength over forget strength; MU95: forget "
            "quality (log10 p) where model utility has fallen to 95%"
        ),
    ]
    what: Annotated[str, Column("`cell`: a value; `|oracle - random|`: a difference")]
    mean: Annotated[float, Column("The printed value", "as the metric", "higher")]
    sd: Annotated[float | None, Column("The printed standard deviation", "as the metric")]
    p: Annotated[float | None, Column("The printed p, of tests within one seed's curves", "p")]
    n: Annotated[int, Column("Random regions or seeds that it is over")]


@TABLES.register("published")
class Published(StudyTable):
    """The numbers that the paper prints, which a study's own are read beside."""

    order = 140
    title = "Published results"
    note = f"{SOURCE}. Not measured here."
    columns = columns_of(PublishedRow)

    @staticmethod
    def rows(results: Results) -> Iterator[PublishedRow]:
        """As the paper has them, whatever the study."""
        for cell in CELLS:
            yield {
                "table": cell.table,
                "model": cell.model,
                "data": cell.data,
                "unit": cell.unit,
                "ratio": cell.ratio,
                "objective": cell.objective,
                "scenario": cell.scenario,
                "metric": cell.metric,
                "what": "cell",
                "mean": cell.mean,
                "sd": cell.sd,
                "p": None,
                "n": cell.n,
            }
        for gap in DIFFERENCES:
            yield {
                "table": gap.table,
                "model": gap.model,
                "data": gap.data,
                "unit": None,
                "ratio": gap.ratio,
                "objective": gap.objective,
                "scenario": None,
                "metric": gap.metric,
                "what": "|oracle - random|",
                "mean": gap.mean,
                "sd": gap.sd,
                "p": gap.p,
                "n": gap.n,
            }
