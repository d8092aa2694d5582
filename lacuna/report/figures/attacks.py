"""What attacks bring back: log-probability of the others, before and after, with the controls."""

from collections.abc import Iterable, Iterator

from lacuna.report.attacks import (
    CONTROL,
    MEASURES,
    Attack,
    Attacked,
    attack_cells,
    attack_names,
    attack_records,
    levels,
)
from lacuna.report.cells import Cell, Value, by_parts
from lacuna.report.figure import FIGURES, Palette, Panel, StudyFigure, over_seeds
from lacuna.report.results import Results
from lacuna.report.svg import Point, slope_chart


@FIGURES.register("attacks")
class Attacks(StudyFigure):
    """A panel per ratio, objective and attack: thin a seed, bold the mean."""

    order = 30

    @staticmethod
    def names(results: Results) -> Iterable[Value]:
        """Scenarios and models."""
        return [place["scenario"] for place, _ in attack_cells(results.stages)]

    @staticmethod
    def panels(results: Results, palette: Palette) -> Iterator[Panel]:
        """By ratio and objective, all scenarios and controls together."""
        cells = list(attack_cells(results.stages))
        places = [place for place, _ in cells if place["objective"] != CONTROL]
        for ratio, objective in dict.fromkeys((p["ratio"], p["objective"]) for p in places):
            shown = {
                place["scenario"]: cell
                for place, cell in cells
                if place["objective"] in (objective, CONTROL) and place["ratio"] in (ratio, None)
            }
            attacks = {attack for cell in shown.values() for attack in attack_names(cell)}
            for attack in sorted(attacks, key=by_parts):
                drawn = [
                    over_seeds(scenario, lines, palette)
                    for scenario, cell in shown.items()
                    if (lines := _slopes(cell, attack))
                ]
                if drawn:
                    title = f"{objective}, ratio {ratio}: {attack}, the others"
                    stations = ("before attack", "after attack")
                    chart = slope_chart(title, stations, "mean log-probability", drawn)
                    yield Panel.of(title, chart, drawn, ratio, objective)


def _slopes(cell: Cell[Attacked], attack: Attack) -> dict[int | None, list[Point]]:
    """Finished seed -> its before-after line, where the attack has both values."""
    records, read = attack_records(cell, attack), MEASURES["logp"]
    before, after = (cell.means(levels(records, one)) for one in (read.before, read.after))
    ends = zip(cell.seeds, before, after, strict=True)
    return {seed: [(0.0, a), (1.0, b)] for seed, a, b in ends if a is not None and b is not None}
