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
from lacuna.report.cells import BASELINE, FULL, ORACLE, Spread, Value, order
from lacuna.report.results import Results
from lacuna.report.svg import Bars, Point, Series

FIXED: Mapping[Value, str] = {
    ORACLE: "c0",
    BASELINE: "c1",
    FULL: "c2",
    "retained": "c8",
    "injected": "c9",
}
OTHERS = ("c3", "c4", "c7", "c6", "c5")
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
    ratio: float | None = None
    objective: str | None = None
    """What it is of: the page leaves out panels of others where somebody asks for one."""

    @classmethod
    def of(
        cls,
        title: str,
        chart: Markup,
        drawn: Sequence[Series | Bars],
        ratio: float | None = None,
        objective: str | None = None,
    ) -> "Panel":
        """A panel whose legend names what is drawn."""
        legend = [(one.name, one.style) for one in drawn]
        return cls(title, chart, legend, ratio, objective)

    @property
    def attributes(self) -> Mapping[str, str | None]:
        """Of its element on a page."""
        ratio = None if self.ratio is None else f"{self.ratio:.4g}"
        return {"data-ratio": ratio, "data-objective": self.objective}


class StudyFigure:
    """A figure of a study. Subclasses declare what stands here and define its methods."""

    order: ClassVar[int] = 1000
    """Place on the page among the other figures: lowest first."""
    section: ClassVar[str] = "figures"
    """Where the page shows it: among all figures, or in the `verdict`."""

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


def over_seeds(
    name: Value, by_seed: Mapping[int | None, Sequence[Point]], palette: Palette
) -> Series:
    """A thin line per seed, and their mean, whose points say their values."""
    about, lines = f"{name} (n={len(by_seed)})", list(by_seed.values())
    named, mean = [str(seed) for seed in by_seed], mean_line(lines)
    tips = []
    for index, (x, y) in enumerate(mean):
        spread = Spread.over([line[index][1] for line in lines])
        interval = "" if spread.lo is None else f" [{spread.lo:.3g}, {spread.hi:.3g}]"
        tips.append(f"{about}, seeds {' '.join(named)}: {y:.3g}{interval} at {x:.3g}")
    return Series(about, palette.styles[name], lines, mean, str(name), named, tips)
