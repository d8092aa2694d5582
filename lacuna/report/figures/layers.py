"""Precision by layer as heat maps: of localizers, and of what trials changed most."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from lacuna.report.figure import FIGURES, Palette, Panel, StudyFigure
from lacuna.report.results import Results
from lacuna.report.scores import chances
from lacuna.report.svg import Heat, heat_chart
from lacuna.report.tables.localization_layers import LayerRow, LocalizationLayers


@FIGURES.register("layers")
class Layers(StudyFigure):
    """A panel per ratio for localizers, and per ratio and objective for changes."""

    order = 20

    @staticmethod
    def panels(results: Results, palette: Palette) -> Iterator[Panel]:
        """From the rows of the table of the same name."""
        groups: dict[tuple[float | None, str, str | None], list[LayerRow]] = {}
        for row in LocalizationLayers.rows(results):
            if row["subject"] != "region":  # 1 for oracle, 0 for random, by construction
                place = (row["ratio"], row["subject"], row["objective"])
                groups.setdefault(place, []).append(row)
        chance = chances(results.stages)
        for (ratio, subject, objective), rows in groups.items():
            known = [share for (of, _), share in chance.items() if of == ratio]
            blind = fmean(known) if known else ratio or 0.0
            layers = sorted({row["layer"] for row in rows})
            heats = [_heat(name, rows, layers) for name in dict.fromkeys(r["name"] for r in rows)]
            what = "localizers" if subject == "localizer" else f"{objective}: values changed most"
            title = f"{what}, ratio {ratio}: precision by layer (chance: {blind:.3g})"
            chart = heat_chart(title, "layer", [str(layer) for layer in layers], heats)
            yield Panel(title, chart, [], ratio, objective)


def _heat(name: str | None, rows: Sequence[LayerRow], layers: Sequence[int]) -> Heat:
    """One localizer's or scenario's row."""
    scenario = str(name) if rows[0]["subject"] == "change" else ""
    by_layer = {row["layer"]: row for row in rows if row["name"] == name}
    found = [by_layer.get(layer) for layer in layers]
    values = [row and row["precision_mean"] for row in found]
    return Heat(str(name), "c0", values, [_tip(row) for row in found], scenario)


def _tip(row: LayerRow | None) -> str:
    if row is None or row["precision_mean"] is None:
        return ""
    spread = "" if row["precision_sd"] is None else f" ± {row['precision_sd']:.2g}"
    return (
        f"{row['name']}, layer {row['layer']}: precision {row['precision_mean']:.3g}{spread} "
        f"(n={row['precision_n']})"
    )
