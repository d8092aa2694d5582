"""The audit's page: one file, in the form of a study's report."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from markupsafe import Markup

from lacuna.audit.stream import place
from lacuna.report.figure import Panel
from lacuna.report.html import Section, document, figures, folded, lines, table
from lacuna.report.svg import Bars, Heat, Series, bar_chart, heat_chart, join, line_chart
from lacuna.report.table import Column, Row, Table
from lacuna.results import AuditRecord, PrecisionRecord, WeightsRecord

COLOURS = 8
"""Distinct colours of the style sheet."""
BLIND = 0.02
"""An AUC so near to 1/2 tells nothing."""


def page(summary: AuditRecord) -> str:
    """The whole page as text."""
    sections = [
        _table("checkpoints", "Checkpoints", summary["checkpoints"], ""),
        _table("changes", "Change", summary["changes"], CHANGE),
        *_places(summary),
        *_precision(summary),
        *_behaviour(summary),
    ]
    before = lines([lead(summary)], "lead") + lines(summary["findings"])
    return document("Lacuna: audit", before, sections)


def lead(summary: WeightsRecord) -> str:
    """What changed, where most, and whether that is where the facts are, in plain words."""
    whole = summary["changes"][0]
    if not whole["changed"]:
        return "Nothing changed: all weights are the same before and after."
    most_in = []
    places = {
        "in": {row["component"]: row["relative"] for row in summary["components"]},
        "in layer": {str(row["layer"]): row["relative"] for row in summary["layers"]},
    }
    for where, found in places.items():
        moved = {name: value for name, value in found.items() if value}
        if len(moved) > 1:
            most = max(moved, key=lambda name: moved[name])
            most_in.append(f"{where} {most} ({moved[most]:.2g})")
    said = f"{whole['changed_share']:.1%} of the weights changed"
    most_said = f", most for their size {' and '.join(most_in)}" if most_in else ""
    return " ".join([f"{said}{most_said}.", *_pointing(summary["precision"])])


def _pointing(found: PrecisionRecord | None) -> Iterator[str]:
    """Whether the change points to each true region, further from blind than noise does."""
    for row in found["scores"] if found else ():
        if row["headline"] and row["auc"] is not None:
            noise = row["noise_auc"] or 0.5
            tells = abs(row["auc"] - 0.5) > max(BLIND, abs(noise - 0.5))
            yield (
                f"The change {'points' if tells else 'does not point'} to the weights of "
                f"{row['truth']}: AUC {row['auc']:.2f}; 0.50 is blind, noise has {noise:.2f}."
            )


MEANING = {
    "changed": "Weights that differ",
    "changed_share": "Share of the weights that differ",
    "distance": "Root of the summed squares of all changes",
    "effective_fraction": "k/n where k of n weights moved equally far would be as concentrated",
    "gini": "0 where all weights moved equally far, near 1 where few did",
    "largest": "Largest change of one weight",
    "relative": "Root mean square of the change over that of the earlier weights",
    "rms": "Root mean square of the change",
    "weights": "How many weights there are",
    "auc": "Chance that a weight inside the truth scores above one outside; 1/2: blind",
    "auc_error": "Largest error of the histogram that the AUC comes from",
    "noise_auc": "The same of Gaussian noise as large as the update",
    "random_auc": "The same of the update's own values at random places",
    "magnitude_auc": "The same of the weights before the update",
    "chance": "Share of the scored weights that are true",
    "at_size": "Of as many highest scores as the truth has weights, the share inside it",
    "truth": "The true region that scores are held against",
    "score": "How weights are scored by their change",
    "headline": "Whether it is the score that was fixed beforehand",
}
"""Column -> what it holds."""
CHANGE = (
    "later minus earlier, in float32. relative: against the earlier weights, root mean squares. "
    "effective_fraction: k/n where k of n weights moved equally far, 0.64 where all moved by "
    "Gaussian noise. gini: 0 where all moved equally far, near 1 where few did."
)
PRECISION = (
    "auc: chance that a weight inside the truth scores above one outside (1/2: blind), with the "
    "largest error of the histogram it comes from. The next columns: share of the highest 0.1, 1, "
    "5 and 10% that lies inside; at_size: of as many as the truth has, which is the recall there. "
    "chance: the truth's share. noise: Gaussian noise as large as the update, tensor by tensor; "
    "random: the update's own values at random places; magnitude: the weights before the update. "
    "The headline score was fixed beforehand; a highest one of many is read against the nulls' "
    "highest."
)


def _table(
    anchor: str, title: str, rows: Sequence[Row], note: str, charts: Sequence[Panel] = ()
) -> Section:
    """Rows as they are, below charts of them."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = tuple(
        Column(MEANING.get(name, ""), name=name, holds=str if _is_text(rows, name) else float)
        for name in names
    )
    made = table(Table(anchor, title, note, columns, rows))
    return Section(anchor, title, join([figures(charts), made]))


def _is_text(rows: Sequence[Row], name: str) -> bool:
    return any(isinstance(row.get(name), str) for row in rows)


def _places(summary: WeightsRecord) -> list[Section]:
    """Where the weights changed: layers, components, tensors, value vectors."""
    layers = summary["layers"]
    labels = [str(row["layer"]) for row in layers]
    charts = _heat(summary)
    for title, heights in (
        ("Relative change", [row["relative"] for row in layers]),
        ("Share changed", [row["changed_share"] for row in layers]),
    ):
        if any(heights):
            bars = [Bars(title, "c0", heights, [None] * len(layers))]
            drawn = bar_chart(title, "layer", title, labels, bars, None)
            charts.append(Panel(f"{title} by layer", drawn, []))
    found = [
        _table("layers", "By layer", layers, "", charts),
        _table("components", "By component", summary["components"], ""),
    ]
    if summary["vectors"] is not None:
        note = "The value vectors (columns of the MLP output matrices) that moved furthest."
        found.append(_table("vectors", "Value vectors", summary["vectors"]["furthest"], note))
    tensors = _table("tensors", "By tensor", summary["tensors"], "")
    return [*found, replace(tensors, body=folded("All tensors", tensors.body))]


def _heat(summary: WeightsRecord) -> list[Panel]:
    """Relative change by layer and component; of tensors that share a place, the largest."""
    found: dict[str, dict[int, float]] = {}
    for row in summary["tensors"]:
        layer, component = place(row["tensor"])
        if layer is not None and row["relative"] is not None:
            own = found.setdefault(component, {})
            own[layer] = max(row["relative"], own.get(layer, 0.0))
    largest = max((value for own in found.values() for value in own.values()), default=0.0)
    if not largest:
        return []
    layers = sorted({layer for own in found.values() for layer in own})
    heats = [
        Heat(
            component,
            "c0",
            [own.get(layer) for layer in layers],
            [f"{component}, layer {layer}: {own.get(layer, 0.0):.3g}" for layer in layers],
        )
        for component, own in found.items()
    ]
    title = "Relative change by layer and component"
    chart = heat_chart(title, "layer", [str(layer) for layer in layers], heats, largest)
    return [Panel(title, chart, [])]


def _precision(summary: WeightsRecord) -> list[Section]:
    found = summary["precision"]
    if found is None:
        return []
    areas = [row for row in found["tensors"] if row["auc"] is not None]
    truths = list(dict.fromkeys(row["truth"] for row in areas))
    charts = [
        _area_chart(truth, [r for r in areas if r["truth"] == truth and r["layer"] is not None])
        for truth in truths
    ]
    inside = "Changed weights as a set: precision and recall; energy: squared change."
    overlaps = [
        {"region": name, **{k: v for k, v in row.items() if k != "by_layer"}}
        for name, row in summary["overlap"].items()
        if row is not None
    ]
    vectors = "Of the value vectors that moved furthest, as many as the region has."
    return [
        _table("precision", "Localization precision", found["scores"], PRECISION),
        _table("best", "Best of all scores", found["best"], "Beside the best of each null."),
        _table("inside", "Inside the truth", found["inside"], inside),
        *([_table("overlap", "Value vectors found", overlaps, vectors)] if overlaps else []),
        _table("areas", "Headline by layer and component", found["tensors"], "", charts),
    ]


def _area_chart(truth: str, rows: Sequence[Row]) -> Panel:
    series = _by_name(rows, "component", "auc")
    chart = line_chart(f"AUC against {truth}", "layer", "AUC", series) if series else Markup("")
    return Panel.of(f"AUC of the headline score against {truth}", chart, series)


def _behaviour(summary: AuditRecord) -> list[Section]:
    found = summary["behaviour"]
    if found is None:
        return []
    outputs = (
        "es, em, probability: from one teacher-forced pass, so nothing at decoding time can hide "
        "them. rouge: ROUGE-L recall of greedy answers, as the model's own decoder gives them."
    )
    layers = (
        "knn, linear: share of forgotten answers whose first token a probe reads off the layer. "
        "lens: extraction strength and probability of the answer if the layer were the last."
    )
    attacks = (
        "others: forgotten facts that the attacker did not train on, before and after the attack. "
        "Read the end levels against those of base: gains alone reward a low start."
    )
    charts = [
        Panel.of(title, line_chart(title, "layer", title, series), series)
        for name, title in (("lens_probability", "Lens probability"), ("linear", "Linear probe"))
        if (series := _by_name(found["layers"], "model", name))
    ]
    return [
        _table("outputs", "What the models say", found["outputs"], outputs),
        _table("gaps", "Gaps", found["gaps"], "What the best earlier layer has above the last."),
        _table("hidden", "Layer by layer", found["layers"], layers, charts),
        *([_table("attacks", "Attacks", found["attacks"], attacks)] if found["attacks"] else []),
    ]


def _by_name(rows: Sequence[Row], name: str, value: str) -> list[Series]:
    """A line over layers for each different `name`; layers without a value are left out."""
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        layer, height = row["layer"], row.get(value)
        if isinstance(layer, int) and isinstance(height, float | int):
            points.setdefault(str(row[name]), []).append((float(layer), float(height)))
    return [
        Series(one, f"c{index % COLOURS}", (), line)
        for index, (one, line) in enumerate(points.items())
    ]
