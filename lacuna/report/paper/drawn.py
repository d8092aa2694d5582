"""A painted drawing as PNG or PDF: shape by shape, with the fonts that matplotlib brings along."""

import re
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import Element

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle

POINTS = 72.0
"""A pixel of the drawing is a point of the paper."""
DPI = 200
ANCHORS: dict[str, Literal["left", "center", "right"]] = {
    "start": "left", "middle": "center", "end": "right",
}  # fmt: skip
NOTHING = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None}}
"""Metadata that would differ between machines and days."""


def draw(drawing: Element, path: Path) -> None:
    """Write a drawing of `painted` at `path`, whose ending says how."""
    _, _, width, height = map(float, drawing.attrib["viewBox"].split())
    with matplotlib.rc_context({"font.family": "DejaVu Sans", "pdf.fonttype": 42}):
        figure = Figure(figsize=(width / POINTS, height / POINTS))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        _shapes(drawing, axes, (0.0, 0.0), False)
        figure.savefig(path, dpi=DPI, metadata=NOTHING[path.suffix[1:]])


def _shapes(parent: Element, axes: Axes, shift: tuple[float, float], turned: bool) -> None:
    """All shapes in an element; groups are moved and turned by a quarter, as our charts do."""
    for one in parent:
        if one.tag == "g":
            moved = re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", one.attrib.get("transform", ""))
            x, y = map(float, moved.groups()) if moved else (0.0, 0.0)
            turn = turned or "rotate(-90)" in one.attrib.get("transform", "")
            _shapes(one, axes, (shift[0] + x, shift[1] + y), turn)
        elif one.tag == "text":
            _text(one, axes, shift, turned)
        elif one.tag != "title":
            _shape(one, axes, shift)


def _number(one: Element, name: str, otherwise: float = 0.0) -> float:
    return float(one.attrib.get(name, otherwise))


def _text(one: Element, axes: Axes, shift: tuple[float, float], turned: bool) -> None:
    axes.text(
        _number(one, "x") + shift[0],
        _number(one, "y") + shift[1],
        one.text or "",
        color=one.attrib["fill"],
        fontsize=_number(one, "font-size"),
        fontweight=one.attrib.get("font-weight", "normal"),
        ha=ANCHORS[one.attrib.get("text-anchor", "start")],
        va="baseline",
        rotation=90 if turned else 0,
        rotation_mode="anchor",
        parse_math=False,
        zorder=3,
    )


def _shape(one: Element, axes: Axes, shift: tuple[float, float]) -> None:
    dashes = [float(part) for part in one.attrib.get("stroke-dasharray", "").split()]
    if one.tag in ("line", "polyline"):
        points = _points(one)
        line = Line2D(
            [x + shift[0] for x, _ in points],
            [y + shift[1] for _, y in points],
            color=one.attrib["stroke"],
            linewidth=_number(one, "stroke-width", 1.0),
            alpha=_number(one, "stroke-opacity", 1.0),
            solid_capstyle="butt",
            zorder=2,
        )
        if dashes:
            line.set_linestyle((0, [part / _number(one, "stroke-width", 1.0) for part in dashes]))
        axes.add_line(line)
        return
    patch: Circle | Rectangle
    if one.tag == "circle":
        middle = (_number(one, "cx") + shift[0], _number(one, "cy") + shift[1])
        patch = Circle(middle, _number(one, "r"), linewidth=0, zorder=2)
    else:
        corner = (_number(one, "x") + shift[0], _number(one, "y") + shift[1])
        size = (_number(one, "width"), _number(one, "height"))
        patch = Rectangle(corner, *size, linewidth=0, zorder=1)
    patch.set(facecolor=one.attrib["fill"], alpha=_number(one, "fill-opacity", 1.0))
    axes.add_patch(patch)


def _points(one: Element) -> list[tuple[float, float]]:
    if one.tag == "line":
        return [
            (_number(one, "x1"), _number(one, "y1")),
            (_number(one, "x2"), _number(one, "y2")),
        ]
    pairs = [pair.split(",") for pair in one.attrib["points"].split()]
    return [(float(x), float(y)) for x, y in pairs]
