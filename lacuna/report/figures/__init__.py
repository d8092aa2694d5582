"""The figures of a study: a file each, in the order of the page."""

from lacuna.registry import import_methods
from lacuna.report.figure import FIGURES, Palette, Panel
from lacuna.report.results import Results

__all__ = ["FIGURES", "Panel", "panels"]

import_methods("lacuna.report.figures")


def panels(results: Results, section: str = "figures") -> list[Panel]:
    """The panels of one section; the same name has the same colour in all of a study."""
    ordered = [FIGURES[name] for name in sorted(FIGURES, key=lambda n: (FIGURES[n].order, n))]
    palette = Palette.over(name for figure in ordered for name in figure.names(results))
    chosen = [figure for figure in ordered if figure.section == section]
    return [panel for figure in chosen for panel in figure.panels(results, palette)]
