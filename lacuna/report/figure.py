"""Figures: what each declares of itself, and the panels that it draws.

A figure is one file in `lacuna.report.figures`: a `StudyFigure` that makes panels from results,
registered in `FIGURES`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from markupsafe import Markup

from lacuna.registry import Registry
from lacuna.report.cells import BASELINE, FULL, ORACLE, Value, order
from lacuna.report.results import Results
from lacuna.report.svg import Bars, Point, Series

FIXED: Mapping[Value, str] = {
    ORACLE: "c0",
    BASELINE: "c1",
    FULL: "c2",
    "retained": "c8",
    "injected": "c9",
}
OTHERS = ("c3", "c4", "c5", "c6", "c7")
"""Colours of the style sheet for names that only some studies have."""


@dataclass(frozen=True)
class Palette:
    """A colour per scenario or localizer: the same in every figure of a page."""

    styles: Mapping[Value, str]

    @classmethod
    def over(cls, names: Iterable[Value]) -> "Palette":
        """Fixed colours for the names every study has, the remaining five for the others."""
        others = sorted({*names} - {*FIXED}, key=order)
        return cls({**FIXED, **{name: OTHERS[i % len(OTHERS)] for i, name in enumerate(others)}})


@dataclass(frozen=True)
class Panel:
    """One chart with its title and a legend: (text, colour)."""

    title: str
    chart: Markup
    legend: Sequence[tuple[str, str]]
    wide: bool = False
    """Whether it takes the whole width of the page, and not its place beside others."""

    @classmethod
    def of(cls, title: str, chart: Markup, drawn: Sequence[Series | Bars]) -> "Panel":
        """A panel whose legend names what is drawn."""
        return cls(title, chart, [(one.name, one.style) for one in drawn])


class StudyFigure:
    """A figure of a study. Subclasses declare what stands here and define its methods."""

    order: ClassVar[int] = 1000
    """Place on the page among the other figures: lowest first."""

    @staticmethod
    def names(results: Results) -> Iterable[Value]:
        """Everything that has a colour in it."""
        return ()

    @staticmethod
    def panels(results: Results, palette: Palette) -> Iterable[Panel]:
        """Its panels; one appears only where something was measured."""
        raise NotImplementedError


FIGURES: Registry[type[StudyFigure]] = Registry("figure")


def mean_line(lines: Sequence[Sequence[Point]]) -> list[Point]:
    """The mean of lines with as many points each, point by point."""
    points: list[list[float]] = np.mean(np.asarray(lines, float), axis=0).tolist()
    return [(x, y) for x, y in points]


def over_seeds(name: Value, lines: Sequence[Sequence[Point]], palette: Palette) -> Series:
    """A thin line per seed, and their mean."""
    return Series(f"{name} (n={len(lines)})", palette.styles[name], lines, mean_line(lines))
