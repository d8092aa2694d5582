"""Erased or hidden: stored and restored shares, by objective and scenario."""

from collections.abc import Iterable, Iterator, Sequence

from lacuna.report.attacks import CONTROL
from lacuna.report.cells import Spread, Value
from lacuna.report.figure import FIGURES, Palette, Panel, StudyFigure
from lacuna.report.results import Results
from lacuna.report.svg import Bars, bar_chart
from lacuna.report.tables.transplant import MEASURES, Exchange, exchanges

SHOWN = {
    "stored": "what the true region still holds",
    "restored": "what comes back with the true region restored",
}


@FIGURES.register("transplant")
class Transplant(StudyFigure):
    """A panel per ratio and exchange; dashed: all that injection brought."""

    order = 40

    @staticmethod
    def names(results: Results) -> Iterable[Value]:
        """Scenarios."""
        return [one.key.scenario for one in exchanges(results.stages)]

    @staticmethod
    def panels(results: Results, palette: Palette) -> Iterator[Panel]:
        """From the table's exchanges, without those of controls."""
        found = [one for one in exchanges(results.stages) if one.key.objective != CONTROL]
        for ratio in dict.fromkeys(one.key.ratio for one in found):
            here = [one for one in found if one.key.ratio == ratio]
            objectives = list(dict.fromkeys(str(one.key.objective) for one in here))
            scenarios = list(dict.fromkeys(one.key.scenario for one in here))
            for measure, meaning in SHOWN.items():
                bars = [_bars(measure, name, here, objectives, palette) for name in scenarios]
                title = f"ratio {ratio}: {meaning} ({measure}; dashed: all)"
                chart = bar_chart(title, "objective", "share", objectives, bars, 1.0)
                yield Panel.of(title, chart, bars, ratio)


def _bars(
    measure: str,
    scenario: str | None,
    here: Sequence[Exchange],
    objectives: Sequence[str],
    palette: Palette,
) -> Bars:
    """One scenario's bars, sd over seeds as error bars; a share below the floor has no height."""
    own = {str(one.key.objective): one for one in here if one.key.scenario == scenario}
    nothing = Spread(0)
    found = [
        Spread.whole(own[name].shares(MEASURES[measure]).values()) if name in own else nothing
        for name in objectives
    ]
    heights = [None if one.mean is None else max(0.0, one.mean) for one in found]
    n = max(one.n for one in found)
    errors = [one.sd for one in found]
    return Bars(f"{scenario} (n={n})", palette.styles[scenario], heights, errors, str(scenario))
