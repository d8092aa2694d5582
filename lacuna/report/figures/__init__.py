"""The figures of a study: a file each, in the order of the page."""

from lacuna.registry import import_methods
from lacuna.report.figure import FIGURES, Palette, Panel
from lacuna.report.results import Results

__all__ = ["FIGURES", "Panel", "panels"]

import_methods("lacuna.report.figures")


def panels(results: Results) -> list[Panel]:
    """All panels of a study; the same name has the same colour in each."""
    ordered = [FIGURES[name] for name in sorted(FIGURES, key=lambda n: (FIGURES[n].order, n))]
    palette = Palette.over(name for figure in ordered for name in figure.names(results))
    return [panel for figure in ordered for panel in figure.panels(results, palette)]
