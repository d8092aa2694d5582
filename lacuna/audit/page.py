"""The audit's page: one file, no script, in the style of a study's report."""

from collections.abc import Sequence

from lacuna.report.base import Row, Table
from lacuna.report.figures import panel
from lacuna.report.markup import Markup, element, join
from lacuna.report.page import document, section
from lacuna.report.svg import Bars, Series, bar_chart, line_chart
from lacuna.results import AuditRecord, WeightsRecord

Named = tuple[str, str, Markup]
COLOURS = 8
"""Distinct colours of the style sheet."""


def page(summary: AuditRecord) -> str:
    """The whole page as text."""
    sections = [
        _table("checkpoints", "Checkpoints", summary["checkpoints"], ""),
        _table("changes", "Change", summary["changes"], CHANGE),
    ]
    sections += [*_places(summary), *_precision(summary), *_behaviour(summary)]
    said = element("ul", *(element("li", line) for line in summary["findings"]), class_="headline")
    return document("Lacuna: audit", said, sections)


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


def _table(anchor: str, title: str, rows: Sequence[Row], note: str) -> Named:
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    return anchor, title, section(Table(anchor, title, note, columns, rows))


def _places(summary: WeightsRecord) -> list[Named]:
    """Where the weights changed: layers, components, tensors, value vectors."""
    layers = summary["layers"]
    charts = []
    for title, heights in (
        ("Relative change", [row["relative"] for row in layers]),
        ("Share changed", [row["changed_share"] for row in layers]),
    ):
        if any(heights):
            bars = [Bars(title, "c0", heights, [None] * len(layers))]
            drawn = bar_chart(title, "layer", title, [str(r["layer"]) for r in layers], bars, None)
            charts.append(panel(f"{title} by layer", drawn, []))
    by_layer = _table("layers", "By layer", layers, "")
    figures = element("div", *charts, class_="figures")
    found = [
        (*by_layer[:2], join([figures, by_layer[2]])),
        _table("components", "By component", summary["components"], ""),
    ]
    if summary["vectors"] is not None:
        note = "The value vectors (columns of the MLP output matrices) that moved furthest."
        found.append(_table("vectors", "Value vectors", summary["vectors"]["furthest"], note))
    folded = _table("tensors", "By tensor", summary["tensors"], "")
    tensors = element("details", element("summary", "All tensors"), folded[2])
    return [*found, (*folded[:2], tensors)]


def _precision(summary: WeightsRecord) -> list[Named]:
    found = summary["precision"]
    if found is None:
        return []
    headline = [row for row in found["tensors"] if row["auc"] is not None]
    truths = list(dict.fromkeys(row["truth"] for row in headline))
    charts = [
        _area_chart(truth, [r for r in headline if r["truth"] == truth and r["layer"] is not None])
        for truth in truths
    ]
    where = _table("areas", "Headline by layer and component", found["tensors"], "")
    scores = _table("precision", "Localization precision", found["scores"], PRECISION)
    inside = "Changed weights as a set: precision and recall; energy: squared change."
    overlaps = [
        {"region": name, **{k: v for k, v in row.items() if k != "by_layer"}}
        for name, row in summary["overlap"].items()
        if row is not None
    ]
    vectors = "Of the value vectors that moved furthest, as many as the region has."
    return [
        scores,
        _table("best", "Best of all scores", found["best"], "Beside the best of each null."),
        _table("inside", "Inside the truth", found["inside"], inside),
        *([_table("overlap", "Value vectors found", overlaps, vectors)] if overlaps else []),
        (*where[:2], join([element("div", *charts, class_="figures"), where[2]])),
    ]


def _area_chart(truth: str, rows: Sequence[Row]) -> Markup:
    lines = _by_name(rows, "component", "auc")
    chart = line_chart(f"AUC against {truth}", "layer", "AUC", lines) if lines else Markup("")
    return panel(f"AUC of the headline score against {truth}", chart, _legend(lines))


def _behaviour(summary: AuditRecord) -> list[Named]:
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
        panel(title, line_chart(title, "layer", title, lines), _legend(lines))
        for name, title in (("lens_probability", "Lens probability"), ("linear", "Linear probe"))
        if (lines := _by_name(found["layers"], "model", name))
    ]
    by_layer = _table("hidden", "Layer by layer", found["layers"], layers)
    return [
        _table("outputs", "What the models say", found["outputs"], outputs),
        _table("gaps", "Gaps", found["gaps"], "What the best earlier layer has above the last."),
        (*by_layer[:2], join([element("div", *charts, class_="figures"), by_layer[2]])),
        *([_table("attacks", "Attacks", found["attacks"], attacks)] if found["attacks"] else []),
    ]


def _by_name(rows: Sequence[Row], name: str, value: str) -> list[Series]:
    """A line over layers for each different `name`; layers without a value are left out."""
    known = [row for row in rows if row.get(value) is not None]
    names = list(dict.fromkeys(row[name] for row in known))
    return [
        Series(
            str(one),
            f"c{index % COLOURS}",
            (),
            [(float(row["layer"]), float(row[value])) for row in known if row[name] == one],
        )
        for index, one in enumerate(names)
    ]


def _legend(lines: Sequence[Series]) -> list[tuple[str, str]]:
    return [(line.name, line.style) for line in lines]
