"""Mixing curves: retain over forget strength, and forget quality over model utility."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

from lacuna.report.cells import (
    BASELINE,
    ORACLE,
    Cell,
    CellKey,
    Value,
    arms_by_seed,
    grouped,
    trials,
)
from lacuna.report.figure import FIGURES, Palette, Panel, StudyFigure, mean_line, over_seeds
from lacuna.report.results import Results
from lacuna.report.svg import Point, line_chart
from lacuna.results import FullCurveRecord, TrialRow
from lacuna.significance.matched import common_depth


class Axes(NamedTuple):
    """Two measures of a curve."""

    name: str
    x_name: str
    y_name: str
    read: Callable[[FullCurveRecord], tuple[Sequence[float], Sequence[float] | None]]


AXES = (
    Axes("FS-RS", "forget score", "retain score", lambda curve: (curve["fs"], curve["rs"])),
    Axes(
        "MU-FQ",
        "model utility",
        "forget quality (log10 p)",
        lambda curve: (curve["mu"], curve["fq"]),
    ),
)


@FIGURES.register("curves")
class Curves(StudyFigure):
    """A panel per ratio, objective and pair of axes: thin a seed, bold the mean.

    Dashed: the depth at which the true region and random ones are compared.
    """

    order = 10

    @staticmethod
    def names(results: Results) -> Iterable[Value]:
        """Scenarios."""
        return [key.scenario for key in grouped(trials(results.stages), CellKey.of)]

    @staticmethod
    def panels(results: Results, palette: Palette) -> Iterator[Panel]:
        """By ratio and objective, all scenarios together."""
        cells = grouped(trials(results.stages), CellKey.of)
        for ratio, objective in dict.fromkeys(key[:2] for key in cells):
            for axes in AXES:
                drawn = [
                    over_seeds(key.scenario, lines, palette)
                    for key, cell in cells.items()
                    if key[:2] == (ratio, objective) and (lines := _lines(cell, axes))
                ]
                if drawn:
                    title = f"{objective}, ratio {ratio}: {axes.name} curve"
                    mark = _depth(cells, ratio, objective) if axes.name == "FS-RS" else None
                    chart = line_chart(title, axes.x_name, axes.y_name, drawn, mark)
                    yield Panel.of(title, chart, drawn, ratio, objective)


def _depth(
    cells: Mapping[CellKey, Cell[TrialRow]], ratio: float | None, objective: str | None
) -> tuple[float, str] | None:
    """Where the true region and random ones are compared: the mean of the seeds' equal depths."""
    true, rivals = (cells.get(CellKey(ratio, objective, name)) for name in (ORACLE, BASELINE))
    if true is None or rivals is None:
        return None
    found = [
        common_depth(np.array([summary["curve"]["fs"] for summary in arms.summaries], float))
        for arms in arms_by_seed(true, rivals)
        if not arms.missing
    ]
    if not found:
        return None
    depth = fmean(found)
    return (
        depth,
        f"equal depth of the true region and random ones, mean of {len(found)}: {depth:.3g}",
    )


def _lines(cell: Cell[TrialRow], axes: Axes) -> dict[int | None, list[Point]]:
    """Finished seed -> its line over the alphas; a seed with an undefined point has none."""
    found = cell.by_seed([_line(stage, axes) for stage in cell.done])
    seeds = zip(cell.seeds, found, strict=True)
    return {seed: mean_line(lines) for seed, lines in seeds if all(lines)}


def _line(stage: TrialRow, axes: Axes) -> list[Point]:
    """A point per alpha; none where one is undefined."""
    x, y = axes.read(stage["summary"]["curve"])
    # Data without a forget quality has no such curve: then there are no pairs.
    pairs = list(zip(x, y or (), strict=False))
    return [] if None in {value for pair in pairs for value in pair} else pairs
