"""Dose of location: what each share of the true region is worth above none, over seeds."""

from collections.abc import Iterable, Iterator

from lacuna.report.cells import ORACLE, Spread, Value
from lacuna.report.claims.dose import Doses, doses
from lacuna.report.figure import FIGURES, Palette, Panel, StudyFigure
from lacuna.report.results import Results
from lacuna.report.svg import Point, Series, line_chart


@FIGURES.register("dose")
class Dose(StudyFigure):
    """A panel per ratio and objective: mean difference to dose 0, with 95% t intervals."""

    order = 15

    @staticmethod
    def names(results: Results) -> Iterable[Value]:
        """The colour of the true region."""
        return [ORACLE]

    @staticmethod
    def panels(results: Results, palette: Palette) -> Iterator[Panel]:
        """From AUES to equal depth of every seed."""
        for found in doses(results):
            if points := _points(found):
                means = [(share, mean) for share, mean, _, _ in points]
                bars: list[list[Point]] = [[(x, low), (x, high)] for x, _, low, high in points]
                name = f"mean, 95% interval (n={len(found.arms)})"
                drawn = [Series(name, palette.styles[ORACLE], bars, means)]
                title = f"{found.objective}, ratio {found.ratio}: dose of location"
                x_name, y_name = "share of the true region", "AUES to equal depth, minus dose 0"
                yield Panel.of(
                    title,
                    line_chart(title, x_name, y_name, drawn),
                    drawn,
                    found.ratio,
                    found.objective,
                )


def _points(found: Doses) -> list[tuple[float, float, float, float]]:
    """(dose, mean, low, high) of each dose; none where a seed lacks a value, or there is one."""
    values = [[v for v in row if v is not None] for row in found.of_curves("matched").values]
    if any(len(row) < len(found.shares) for row in values):
        return []
    points = []
    for place, share in enumerate(found.shares):
        spread = Spread.over([row[place] - row[0] for row in values])
        if spread.mean is not None and spread.lo is not None and spread.hi is not None:
            points.append((share, spread.mean, spread.lo, spread.hi))
    return points
