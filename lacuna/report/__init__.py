"""Tables, figures, verdict and page of a study, from stage summaries alone."""

from pathlib import Path

from lacuna.artifacts import write_json, write_text
from lacuna.report.claims import Claims, Evidence, Family, headline, judge
from lacuna.report.html import page
from lacuna.report.results import Margins, Results
from lacuna.report.table import Column, StudyTable, Table
from lacuna.report.tables import tables
from lacuna.results import Claim

__all__ = [
    "Claim",
    "Claims",
    "Column",
    "Evidence",
    "Family",
    "Margins",
    "Results",
    "StudyTable",
    "Table",
    "headline",
    "judge",
    "render",
]


def render(results: Results, folder: Path) -> list[Claim]:
    """Write the report of a study under `folder` and return its verdict.

    tables/*.csv, tables/*.json, verdict.json: byte-identical for the same summaries, wherever and
    whenever they were made. report/index.html, report/work.csv, report/work.json: also tell of this
    run (what it trained and reused, run ids, durations). Each file is replaced in one step, the
    page last.
    """
    made, done, verdict = tables(results), tables(results, of_run=True), judge(results)
    text = page(results, [*made, *done], verdict)
    for table in made:
        table.write(folder / "tables")
    write_json(folder / "verdict.json", verdict)
    for table in done:
        table.write(folder / "report")
    write_text(folder / "report" / "index.html", text)
    return verdict
