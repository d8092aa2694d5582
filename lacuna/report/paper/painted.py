"""A panel as a drawing that stands alone: title, chart, legend, every colour written out.

The page colours charts by its style sheet; programs that read SVG files elsewhere know none. Here
each shape gets what the style sheet gives it in the light scheme.
"""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, fromstring

from lacuna.report.figure import Panel

SOFT, INK, LINE, BAD = "#5b6470", "#1b1f24", "#d8dde3", "#b3261e"
COLOURS: Mapping[str, str] = {
    "c0": "#0072b2", "c1": "#d55e00", "c2": "#009e73", "c3": "#cc79a7", "c4": "#8f7a00",
    "c5": "#56b4e9", "c6": "#e69f00", "c7": "#6b5bd2", "c8": SOFT, "c9": "#9aa3ad",
    "holds": "#0a7d4f", "fails": BAD, "undetermined": "#8a6100", "alike": SOFT,
}  # fmt: skip
"""Class -> its colour: those of `style.css`, light."""
INKED = frozenset(["holds", "fails", "undetermined"])
"""Classes whose text is as dark as the page's."""
RULES: Mapping[str, Mapping[str, str]] = {
    "grid": {"stroke": LINE},
    "axis": {"stroke": SOFT},
    "ref": {"stroke": INK, "stroke-dasharray": "5 4"},
    "error": {"stroke": INK},
}
TITLE, ROOM, LEGEND = 16.0, 8.0, 18.0
"""Heights of a line of the title, of the room at the edges, and of a line of the legend."""
BOLD = 7.6
"""Width that a letter of the title is given."""
LETTER = 6.4
"""Width that a letter of the legend is given."""
FONT = "DejaVu Sans, sans-serif"


@dataclass(frozen=True)
class Paint:
    """What an element hands down to those in it."""

    colour: str = SOFT
    ink: str = SOFT
    size: str = "11"

    def of(self, classes: list[str]) -> "Paint":
        """The same, as changed by an element's classes."""
        colour = next((COLOURS[name] for name in classes if name in COLOURS), self.colour)
        ink = INK if INKED & {*classes} else self.ink
        size = "12.5" if {"forest", "heat"} & {*classes} else self.size
        return Paint(colour, INK if "heat" in classes else ink, size)


def painted(panel: Panel) -> Element:
    """The drawing as an SVG element."""
    chart = fromstring(str(panel.chart))
    _, _, width, height = map(float, chart.attrib["viewBox"].split())
    lines = list(_legend_lines(panel, width))
    titles = textwrap.wrap(panel.title, int((width - 16) / BOLD))
    head = ROOM + TITLE * len(titles)
    total = head + height + LEGEND * len(lines) + ROOM
    root = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "font-family": FONT})
    root.attrib |= {"width": f"{width:g}", "height": f"{total:g}"}
    root.attrib["viewBox"] = f"0 0 {width:g} {total:g}"
    SubElement(root, "title").text = panel.title
    for index, words in enumerate(titles):
        place = {"x": "8", "y": f"{17 + TITLE * index:g}", "font-size": "12", "fill": INK}
        SubElement(root, "text", place | {"font-weight": "bold"}).text = words
    body = SubElement(root, "g", {"transform": f"translate(0 {head:g})"})
    body.extend(_painted(one, Paint().of(_classes(chart))) for one in chart if one.tag != "title")
    for index, line in enumerate(lines):
        root.extend(_legend(line, head + height + LEGEND * index))
    return root


def _classes(one: Element) -> list[str]:
    return one.attrib.get("class", "").split()


def _painted(one: Element, above: Paint) -> Element:
    """A copy with colours, without classes."""
    classes = _classes(one)
    paint = above.of(classes)
    kept = {k: v for k, v in one.attrib.items() if k != "class" and not k.startswith("data-")}
    found = Element(one.tag, kept | _look(one.tag, classes, paint))
    found.text = one.text
    found.extend(_painted(child, paint) for child in one)
    return found


def _look(tag: str, classes: list[str], paint: Paint) -> dict[str, str]:
    """What the style sheet gives an element."""
    if tag == "text":
        return {"fill": BAD if "failed" in classes else paint.ink, "font-size": paint.size}
    if tag == "line":
        rules = [RULES[name] for name in classes if name in RULES]
        return dict(rules[0]) if rules else {"stroke": paint.colour, "stroke-width": "2.4"}
    if tag == "polyline":
        bold = {"stroke-width": "2.4"}
        if {"c8", "c9"} & {*classes}:
            bold["stroke-dasharray"] = "6 4"
        thin = {"stroke-width": "1", "stroke-opacity": "0.4"}
        return {"fill": "none", "stroke": paint.colour} | (thin if "thin" in classes else bold)
    if tag == "rect" and "band" in classes:
        return {"fill": SOFT, "fill-opacity": "0.18"}
    if tag == "rect" and "cell" in classes:
        return {"fill": paint.colour, "stroke": LINE, "stroke-width": "1"}
    return {"fill": paint.colour} if tag in ("rect", "circle") else {}


def _legend_lines(panel: Panel, width: float) -> Iterator[list[tuple[float, str, str]]]:
    """(x, text, colour) of the legend, as many in a line as find room."""
    line: list[tuple[float, str, str]] = []
    x = 8.0
    for name, style in panel.legend:
        room = 16 + LETTER * len(name) + 10
        if line and x + room > width:
            yield line
            line, x = [], 8.0
        line.append((x, name, COLOURS[style]))
        x += room
    if line:
        yield line


def _legend(line: list[tuple[float, str, str]], top: float) -> Iterator[Element]:
    for x, name, colour in line:
        box = {"x": f"{x:g}", "y": f"{top + 3:g}", "width": "10", "height": "10", "fill": colour}
        yield Element("rect", box)
        place = {"x": f"{x + 15:g}", "y": f"{top + 12:g}", "font-size": "11", "fill": SOFT}
        text = Element("text", place)
        text.text = name
        yield text
