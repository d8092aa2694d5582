"""The report's figures: mixing curves, precision by layer, and what attacks bring back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lacuna.report.base import Row, Table
from lacuna.report.cells import Cell, Stage, Value, grouped, number_at, of_kind, order
from lacuna.report.evidence import Attack, attack_cells, attack_names, attack_records
from lacuna.report.markup import Markup, element, join
from lacuna.report.svg import Bars, Point, Series, bar_chart, line_chart, slope_chart

FIXED: dict[Value, str] = {
    "oracle": "c0",
    "random": "c1",
    "full": "c2",
    "retained": "c8",
    "injected": "c9",
}


@dataclass(frozen=True)
class Palette:
    """A colour per scenario or localizer: the same in every figure of a page."""

    styles: Mapping[Value, str]

    @classmethod
    def over(cls, names: Sequence[Value]) -> "Palette":
        """Fixed colours for the names every study has, the remaining five for the others."""
        others = sorted({*names} - {*FIXED}, key=order)
        return cls({**FIXED, **{name: f"c{3 + i % 5}" for i, name in enumerate(others)}})


def figures(stages: Sequence[Stage], layers: Table) -> Markup:
    """All figures of a study; a panel appears only where something was measured."""
    names = [name for _, cell in attack_cells(stages) for name in scenarios_of(cell)]
    palette = Palette.over([*names, *(row["name"] for row in layers.rows)])
    panels = [
        *curve_panels(stages, palette),
        *layer_panels(layers.rows, palette),
        *attack_panels(stages, palette),
    ]
    return element("div", join(panels), class_="figures") if panels else Markup("")


def scenarios_of(cell: Cell) -> list[Value]:
    """Names (scenarios or control models) in a cell."""
    found = [stage["summary"] for stage in cell.done]
    return [summary.get("scenario") or summary.get("model") for summary in found]


def panel(title: str, chart: Markup, legend: Sequence[tuple[str, str]]) -> Markup:
    """One figure: its title, chart, and a legend with the n of every colour."""
    keys = [element("span", element("i"), name, class_=f"key {style}") for name, style in legend]
    return element("figure", element("strong", title), chart, element("figcaption", *keys))


def curve_panels(stages: Sequence[Stage], palette: Palette) -> list[Markup]:
    """FS against RS and MU against FQ per ratio and objective: thin a seed, bold the mean."""
    trials = grouped(of_kind(stages, "trial", "test"), "ratio", "objective", "scenario")
    panels = []
    for place in dict.fromkeys(key[:2] for key in trials):
        cells = {key[2]: cell for key, cell in trials.items() if key[:2] == place}
        for x, y, x_name, y_name in (
            ("fs", "rs", "forget score", "retain score"),
            ("mu", "fq", "model utility", "forget quality (log10 p)"),
        ):
            series = [
                Series(f"{scenario} (n={len(lines)})", palette.styles[scenario], lines, mean(lines))
                for scenario, cell in cells.items()
                if (lines := lines_of(cell, x, y))
            ]
            if series:
                title = f"{place[1]}, ratio {place[0]}: {x.upper()}-{y.upper()} curve"
                legend = [(one.name, one.style) for one in series]
                panels.append(panel(title, line_chart(title, x_name, y_name, series), legend))
    return panels


def lines_of(cell: Cell, x: str, y: str) -> list[list[Point]]:
    """One line over the alphas per finished seed; a seed with an undefined point has none."""
    lines = []
    for stage in cell.done:
        curve = stage["summary"].get("curve") or {}
        # Data without a forget quality has no such curve: then there are no pairs.
        pairs = list(zip(curve.get(x) or (), curve.get(y) or (), strict=False))
        if pairs and None not in {value for pair in pairs for value in pair}:
            lines.append(pairs)
    return lines


def mean(lines: Sequence[Sequence[Point]]) -> list[Point]:
    """The mean line, alpha by alpha."""
    points: list[list[float]] = np.mean(np.asarray(lines, float), axis=0).tolist()
    return [(x, y) for x, y in points]


def layer_panels(rows: Sequence[Row], palette: Palette) -> list[Markup]:
    """Precision by layer, from the rows of the table of the same name."""
    panels = []
    names = ("ratio", "subject", "objective")
    for place in dict.fromkeys(tuple(row[name] for name in names) for row in rows):
        if place[1] == "region":
            continue  # 1 for oracle, 0 for random, by construction
        chosen = [row for row in rows if tuple(row[name] for name in names) == place]
        layers = sorted({row["layer"] for row in chosen})
        bars = [
            layer_bars(name, [row for row in chosen if row["name"] == name], layers, palette)
            for name in dict.fromkeys(row["name"] for row in chosen)
        ]
        what = "localizers" if place[1] == "localizer" else f"{place[2]}: values changed most"
        title = f"{what}, ratio {place[0]}: precision by layer (dashed: chance)"
        labels = [str(layer) for layer in layers]
        chart = bar_chart(title, "layer", "precision", labels, bars, place[0])
        panels.append(panel(title, chart, [(one.name, one.style) for one in bars]))
    return panels


def layer_bars(name: str, rows: Sequence[Row], layers: Sequence[int], palette: Palette) -> Bars:
    """One localizer's bars, sd over seeds as error bars."""
    by_layer = {row["layer"]: row for row in rows}
    found: list[Row] = [by_layer.get(layer, {}) for layer in layers]
    n = max(row["precision_n"] for row in rows)
    heights = [number_at(row, "precision_mean") for row in found]
    errors = [number_at(row, "precision_sd") for row in found]
    return Bars(f"{name} (n={n})", palette.styles[name], heights, errors)


def attack_panels(stages: Sequence[Stage], palette: Palette) -> list[Markup]:
    """Others' log-probability before and after each attack, by scenario, with the controls."""
    cells = list(attack_cells(stages))
    trials = [place for place, _ in cells if place["objective"] != "control"]
    panels = []
    for ratio, objective in dict.fromkeys((p["ratio"], p["objective"]) for p in trials):
        shown = {
            place["scenario"]: cell
            for place, cell in cells
            if place["objective"] in (objective, "control") and place["ratio"] in (ratio, None)
        }
        attacks = {name for cell in shown.values() for name in attack_names(cell)}
        for name in sorted(attacks, key=lambda pair: [order(part) for part in pair]):
            series = [
                Series(f"{scenario} (n={len(lines)})", palette.styles[scenario], lines, mean(lines))
                for scenario, cell in shown.items()
                if (lines := slopes(cell, name))
            ]
            if series:
                title = f"{objective}, ratio {ratio}: {name}, the others"
                y_name = "mean log-probability"
                chart = slope_chart(title, ("before attack", "after attack"), y_name, series)
                panels.append(panel(title, chart, [(one.name, one.style) for one in series]))
    return panels


def slopes(cell: Cell, name: Attack) -> list[list[Point]]:
    """One before-after line per finished seed in which the attack has both values."""
    lines = []
    for record in attack_records(cell, name):
        ends: list[Any] = [number_at(record, f"others_logp_{when}") for when in ("before", "after")]
        if None not in ends:
            lines.append([(0.0, ends[0]), (1.0, ends[1])])
    return lines
