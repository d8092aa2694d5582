"""A finished study's report, made again.

Reads `STUDY/results.json`, which a study leaves beside its tables; needs no store, no tracking
server and no Ray, and trains nothing.
"""

from dataclasses import asdict, replace
from pathlib import Path

from lacuna.artifacts import read_json, write_json
from lacuna.errors import UserError
from lacuna.registry import suggest
from lacuna.report import Margins, Results, headline, render
from lacuna.report.paper import FORMATS
from lacuna.report.paper import export as paper
from lacuna.results.files import RESULTS
from sweeps.paths import finished


def keep(results: Results, folder: Path) -> None:
    """Write what a report is made from; `rebuild` reads it."""
    write_json(folder / RESULTS, asdict(results))


def rebuild(folder: Path, named: bool = False) -> list[str]:
    """Write tables, page and verdict of the study in `folder` anew: the headline's lines.

    `named` says names of people whatever the data. Raises `UserError` where no study has finished
    there.
    """
    return headline(render(replace(read(folder), named=named), folder))


def export(folder: Path, form: str) -> list[Path]:
    """Write the study's figures or tables for papers below `report/`: the files.

    Raises `UserError` for an unknown format, and where no study has finished there.
    """
    if form not in FORMATS:
        raise UserError(f"--format {form}: no such format{suggest(form, [*FORMATS])}")
    return paper(read(folder), form, folder / "report")


def read(folder: Path) -> Results:
    """What the report of the study in `folder` was made from.

    Raises `UserError` where no study has finished there.
    """
    finished(folder)
    record = read_json(folder / RESULTS)
    return Results(**record | {"margins": Margins(**record["margins"])})
