"""The files: a name for each figure and table, the same for every study."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

from lacuna.artifacts import write_text
from lacuna.report.figures import named_panels
from lacuna.report.paper.painted import painted
from lacuna.report.paper.tables import latex, markdown
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Table
from lacuna.report.tables import tables

FIGURES = ("svg", "png", "pdf")
TEXTS: Mapping[str, Callable[[Table], str]] = {"md": markdown, "tex": latex}
FORMATS = (*FIGURES, *TEXTS)


def export(results: Results, form: str, folder: Path) -> list[Path]:
    """Write all figures, or all tables that the page shows, in one of `FORMATS` below `folder`.

    Returns the files. The same results give the same bytes.
    """
    if form in TEXTS:
        return list(_tables(results, form, folder / "tables"))
    return list(_figures(results, form, folder / "figures"))


def _tables(results: Results, form: str, folder: Path) -> Iterator[Path]:
    for one in tables(results):
        if one.rows and TABLES[one.name].show:
            path = folder / f"{one.name}.{form}"
            write_text(path, TEXTS[form](one))
            yield path


def _figures(results: Results, form: str, folder: Path) -> Iterator[Path]:
    for name, panel in named_panels(results):
        path = folder / f"{name}.{form}"
        drawing = painted(panel)
        if form == "svg":
            write_text(path, ElementTree.tostring(drawing, encoding="unicode") + "\n")
        else:
            from lacuna.report.paper.drawn import draw

            path.parent.mkdir(parents=True, exist_ok=True)
            draw(drawing, path)
        yield path
