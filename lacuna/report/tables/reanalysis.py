"""Table 2 of Lee et al. by a test whose unit is the seed, from its printed numbers alone."""

from collections.abc import Iterator
from typing import Annotated

from typing_extensions import TypedDict

from lacuna.report.columns import OBJECTIVE
from lacuna.report.published import CELLS, DIFFERENCES, SOURCE, PublishedDifference
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of
from lacuna.significance import Printed, reanalyse

METRIC = "as the metric"
UNITS = {"AUES": 0.001, "MU95": 0.01}
"""One unit of the last digit that the paper prints."""


class ReanalysisRow(TypedDict):
    """One printed cell, tested over its seeds."""

    model: Annotated[str, Column("The paper's model")]
    objective: Annotated[str, OBJECTIVE]
    metric: Annotated[str, Column("`AUES`, or `MU95` (log10 p), as the paper has them")]
    diff: Annotated[float, Column("Printed mean of oracle minus printed mean of random", METRIC)]
    sd: Annotated[
        float,
        Column("Standard deviation of the seeds' differences, from |d| as printed", METRIC),
    ]
    lo: Annotated[float, Column("Lower end of the 95% t interval over seeds", METRIC)]
    hi: Annotated[float, Column("Upper end of the 95% t interval over seeds", METRIC)]
    p: Annotated[float, Column("Student's t over seeds, two-sided", "p")]
    p_low: Annotated[float, Column("Least such p of all numbers that round to the printed", "p")]
    p_high: Annotated[float, Column("Largest such p", "p")]
    p_printed: Annotated[float, Column("The printed p, of tests within one seed's curves", "p")]
    n: Annotated[int, Column("Seeds that the cell is over", "seeds")]
    margin: Annotated[float, Column("Differences within it are too small to matter", METRIC)]
    no_better: Annotated[str, Column("Whether the oracle is no better by the margin")]
    reason: Annotated[str, Column("Why it is judged so", long=True)]


@TABLES.register("reanalysis")
class Reanalysis(StudyTable):
    """The paper's oracle-random differences, which it tests within curves, tested over seeds."""

    order = 141
    title = "Published differences, tested over seeds"
    note = (
        f"{SOURCE}, Table 2. The printed means and the mean and sd of |difference| over seeds fix "
        f"the paired sd, and with it Student's t. Each cell by itself: eight cells a metric are "
        f"tested and none is corrected."
    )
    columns = columns_of(ReanalysisRow)

    @staticmethod
    def rows(results: Results) -> Iterator[ReanalysisRow]:
        """As the paper has them, whatever the study; judged by the study's margins."""
        margins = {"AUES": results.margins.aues, "MU95": results.margins.mu95}
        for gap in DIFFERENCES:
            if gap.table != 2 or gap.sd is None:
                continue
            margin = margins[gap.metric]
            oracle, random = _mean(gap, "oracle"), _mean(gap, "random")
            cell = Printed(oracle, random, gap.mean, gap.sd, gap.n, UNITS[gap.metric])
            found = reanalyse(cell)
            decision = found.decision(margin)
            yield {
                "model": gap.model,
                "objective": gap.objective,
                "metric": gap.metric,
                "diff": found.difference,
                "sd": found.sd,
                "lo": found.low,
                "hi": found.high,
                "p": found.p,
                "p_low": found.p_low,
                "p_high": found.p_high,
                "p_printed": gap.p,
                "n": found.n,
                "margin": margin,
                "no_better": decision.verdict,
                "reason": decision.reason,
            }


def _mean(gap: PublishedDifference, scenario: str) -> float:
    """The printed mean of one scenario of the difference's cell."""
    names = ("table", "model", "objective", "metric")
    return next(
        cell.mean
        for cell in CELLS
        if cell.scenario == scenario and all(getattr(cell, n) == getattr(gap, n) for n in names)
    )
