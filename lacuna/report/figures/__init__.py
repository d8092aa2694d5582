"""The figures of a study: a file each, in the order of the page."""

from collections.abc import Iterator

from lacuna.registry import import_methods
from lacuna.report.figure import FIGURES, Palette, Panel
from lacuna.report.results import Results

__all__ = ["FIGURES", "Panel", "named_panels", "panels"]

import_methods("lacuna.report.figures")


def panels(results: Results, section: str = "figures") -> list[Panel]:
    """The panels of one section; the same name has the same colour in all of a study."""
    chosen = {name for name in FIGURES if FIGURES[name].section == section}
    return [panel for name, _, panel in _drawn(results) if name in chosen]


def named_panels(results: Results) -> list[tuple[str, Panel]]:
    """All panels of a study, each with a name for its file: `curves-01`."""
    return [(f"{name}-{number:02d}", panel) for name, number, panel in _drawn(results)]


def _drawn(results: Results) -> Iterator[tuple[str, int, Panel]]:
    """Name of the figure, number of its panel, panel."""
    names = sorted(FIGURES, key=lambda name: (FIGURES[name].order, name))
    palette = Palette.over(one for name in names for one in FIGURES[name].names(results))
    for name in names:
        for number, panel in enumerate(FIGURES[name].panels(results, palette), 1):
            yield name, number, panel
