"""Precision by layer: of localizers, and of what trials changed most."""

from collections.abc import Iterable, Iterator, Sequence

from lacuna.report.cells import Value
from lacuna.report.figure import FIGURES, Palette, Panel, StudyFigure
from lacuna.report.results import Results
from lacuna.report.svg import Bars, bar_chart
from lacuna.report.tables.localization_layers import LayerRow, LocalizationLayers


@FIGURES.register("layers")
class Layers(StudyFigure):
    """A panel per ratio for localizers, and per ratio and objective for changes."""

    order = 20

    @staticmethod
    def names(results: Results) -> Iterable[Value]:
        """Localizers and scenarios."""
        return [row["name"] for row in LocalizationLayers.rows(results)]

    @staticmethod
    def panels(results: Results, palette: Palette) -> Iterator[Panel]:
        """From the rows of the table of the same name."""
        groups: dict[tuple[float | None, str, str | None], list[LayerRow]] = {}
        for row in LocalizationLayers.rows(results):
            if row["subject"] != "region":  # 1 for oracle, 0 for random, by construction
                place = (row["ratio"], row["subject"], row["objective"])
                groups.setdefault(place, []).append(row)
        for (ratio, subject, objective), rows in groups.items():
            layers = sorted({row["layer"] for row in rows})
            names = dict.fromkeys(row["name"] for row in rows)
            bars = [_bars(name, rows, layers, palette) for name in names]
            what = "localizers" if subject == "localizer" else f"{objective}: values changed most"
            title = f"{what}, ratio {ratio}: precision by layer (dashed: chance)"
            labels = [str(layer) for layer in layers]
            yield Panel.of(title, bar_chart(title, "layer", "precision", labels, bars, ratio), bars)


def _bars(
    name: str | None, rows: Sequence[LayerRow], layers: Sequence[int], palette: Palette
) -> Bars:
    """One localizer's bars, sd over seeds as error bars."""
    by_layer = {row["layer"]: row for row in rows if row["name"] == name}
    found = [by_layer.get(layer) for layer in layers]
    n = max(row["precision_n"] for row in by_layer.values())
    heights = [row and row["precision_mean"] for row in found]
    errors = [row and row["precision_sd"] for row in found]
    return Bars(f"{name} (n={n})", palette.styles[name], heights, errors)
