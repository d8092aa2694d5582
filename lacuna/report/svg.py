"""Five kinds of chart as inline SVG: coloured by the page's style sheet, no script, no fonts."""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from markupsafe import Markup, escape

WIDTH, HEIGHT = 380.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 12.0, 12.0, 44.0
FOREST, ROW, HEAT = 460.0, 38.0, 24.0
"""Width of forest plots and heat maps, which a phone shows whole, and heights of their rows."""
LETTER, LINE = 7.0, 15.0
"""Width that a letter of a forest plot is given, and height of a line."""
Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One named colour: `thin` lines (one per seed) and a `bold` line (their mean)."""

    name: str
    style: str
    thin: Sequence[Sequence[Point]]
    bold: Sequence[Point]
    scenario: str = ""
    """What the page's filter knows it by."""
    seeds: Sequence[str] = ()
    """Of each thin line, where they are known."""
    tips: Sequence[str] = ()
    """What each bold point says when it is pointed at; empty: points are not drawn."""


@dataclass(frozen=True)
class Bars:
    """One named colour: a height per category (None: no bar) and half its error bar."""

    name: str
    style: str
    heights: Sequence[float | None]
    errors: Sequence[float | None]
    scenario: str = ""
    """What the page's filter knows it by."""


@dataclass(frozen=True)
class Effect:
    """A row of a forest plot: a difference with its 95% interval; None: it was not taken."""

    name: str
    style: str
    value: float | None
    interval: Sequence[float] | None
    missing: str = ""
    """Why it was not taken."""
    tip: str = ""
    """What it says when it is pointed at, besides its figures."""

    @property
    def words(self) -> str:
        """The effect in figures."""
        if self.value is None:
            return f"no value: {self.missing}"
        return in_figures(self.value, self.interval)

    @property
    def lines(self) -> int:
        """Lines of text: name and figures share one where both have room."""
        return 1 if LETTER * (len(self.name) + len(self.words) + 2) <= FOREST - 16 else 2


@dataclass(frozen=True)
class Heat:
    """A row of a heat map: a share per column (None: no cell), and what each says."""

    name: str
    style: str
    values: Sequence[float | None]
    tips: Sequence[str]
    scenario: str = ""
    """What the page's filter knows it by."""


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high`, drawn from pixel `start` to pixel `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Pixel position of `value`."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values inside the axis: 1, 2 or 5 times a power of ten apart."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def span(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis that holds all `values` with 4% of room; a single value gets half a unit around."""
    low, high = min(values), max(values)
    room = 0.04 * (high - low) if high > low else 0.5
    return Axis(low - room, high + room, start, end)


EMPTY = frozenset({"circle", "line", "polyline", "rect"})
"""Shapes, which hold nothing but, some, a title."""


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """One element, its children and attributes escaped unless they are `Markup` already.

    In attribute names a trailing underscore is dropped (`class_`) and others become hyphens.
    """
    words = [name]
    for key, value in attributes.items():
        words.append(f'{key.rstrip("_").replace("_", "-")}="{escape(value)}"')
    opening = " ".join(words)
    # A browser does not close SVG's shapes by itself: without the slash they would nest.
    if name in EMPTY and not children:
        return Markup(f"<{opening}/>")
    return Markup(f"<{opening}>{join(children)}</{name}>")


def join(parts: Iterable[object]) -> Markup:
    """The escaped parts, one after another."""
    return Markup("").join(escape(part) for part in parts)


def line_chart(
    title: str,
    x_name: str,
    y_name: str,
    series: Sequence[Series],
    mark: tuple[float, str] | None = None,
) -> Markup:
    """Curves over two numeric axes; `mark`: a dashed line at an x, and what it says."""
    points = [p for one in series for line in [*one.thin, one.bold] for p in line]
    x_axis = span([x for x, _ in points], LEFT, WIDTH - RIGHT)
    y_axis = span([y for _, y in points], HEIGHT - BOTTOM, TOP)
    marks = [tick_x(x_axis.at(tick), f"{tick:g}") for tick in x_axis.ticks()]
    if mark is not None:
        x = x_axis.at(mark[0])
        marks.append(
            element("g", rule(x, TOP, x, HEIGHT - BOTTOM, "ref"), element("title", mark[1]))
        )
    return chart(title, x_name, y_name, y_axis, [*marks, *curves(series, x_axis, y_axis)])


def slope_chart(
    title: str, stations: Sequence[str], y_name: str, series: Sequence[Series]
) -> Markup:
    """Lines between named stations (before, after); x of a point is its station's index."""
    values = [y for one in series for line in [*one.thin, one.bold] for _, y in line]
    x_axis = Axis(-0.25, len(stations) - 0.75, LEFT, WIDTH - RIGHT)
    y_axis = span(values, HEIGHT - BOTTOM, TOP)
    marks = [tick_x(x_axis.at(index), name) for index, name in enumerate(stations)]
    return chart(title, "", y_name, y_axis, [*marks, *curves(series, x_axis, y_axis)])


def bar_chart(
    title: str,
    x_name: str,
    y_name: str,
    categories: Sequence[str],
    bars: Sequence[Bars],
    reference: float | None,
) -> Markup:
    """Grouped bars from zero, one group per category, and a dashed `reference` line."""
    tops = [h + (e or 0.0) for b in bars for h, e in zip(b.heights, b.errors, strict=True) if h]
    y_axis = Axis(0.0, max([*tops, reference or 0.0, 1e-3]) * 1.05, HEIGHT - BOTTOM, TOP)
    group = (WIDTH - RIGHT - LEFT) / max(len(categories), 1)
    width = 0.8 * group / max(len(bars), 1)
    marks: list[Markup] = []
    for index, name in enumerate(categories):
        left = LEFT + (index + 0.1) * group
        if len(categories) <= 16 or index % 4 == 0:
            marks.append(tick_x(left + 0.4 * group, name))
        for place, one in enumerate(bars):
            marks += bar(one, index, left + place * width, width, y_axis, name)
    if reference is not None:
        marks.append(rule(LEFT, y_axis.at(reference), WIDTH - RIGHT, y_axis.at(reference), "ref"))
    return chart(title, x_name, y_name, y_axis, marks)


def forest_chart(title: str, x_name: str, effects: Sequence[Effect], margin: float) -> Markup:
    """Effects beneath each other over one axis, a line at zero, the margin shaded around it."""
    tops = [TOP]
    for one in effects:
        tops.append(tops[-1] + ROW + LINE * (one.lines - 1))
    foot = tops[-1]
    shown = [one for one in effects if one.value is not None]
    ends = [x for one in shown for x in (one.value, *(one.interval or ())) if x is not None]
    axis = span([*ends, -margin, margin], 8.0, FOREST - 8.0)
    band = {"x": px(axis.at(-margin)), "width": px(axis.at(margin) - axis.at(-margin))}
    tip = f"margin: differences within {margin:g} are too small to matter"
    shade = element("rect", **band, y=px(TOP), height=px(foot - TOP), class_="band")
    marks = [
        element("g", shade, element("title", tip)),
        rule(axis.at(0), TOP, axis.at(0), foot, "axis"),
        *(tick_x(axis.at(tick), f"{tick:g}", foot) for tick in axis.ticks()),
        *below(x_name, foot + 36),
    ]
    for one, top in zip(effects, tops, strict=False):
        marks += effect_row(one, top, axis)
    body = join([element("title", title), *marks])
    box = f"0 0 {FOREST:g} {foot + 62:g}"
    return element("svg", body, viewBox=box, role="img", aria_label=title, class_="forest")


def below(name: str, y: float) -> list[Markup]:
    """The name of an axis in the middle, in as many lines as it needs."""
    lines = textwrap.wrap(name, 62)
    return [text(FOREST / 2, y + 15 * i, line, "middle") for i, line in enumerate(lines)]


def heat_chart(
    title: str, x_name: str, columns: Sequence[str], rows: Sequence[Heat], top: float = 1.0
) -> Markup:
    """A row of cells for each name, the darker the nearer to `top`, with their values in them."""
    names = 24 + 7 * max(len(one.name) for one in rows)
    width, foot = (FOREST - 8 - names) / len(columns), TOP + HEAT * len(rows)
    marks = [
        text(names + width * (i + 0.5), foot + 16, name, "middle") for i, name in enumerate(columns)
    ]
    for index, one in enumerate(rows):
        y = TOP + HEAT * index
        own = [text(names - 8, y + 16, one.name, "end")]
        for place, (value, tip) in enumerate(zip(one.values, one.tips, strict=True)):
            if value is not None:
                box = {"x": px(names + width * place), "y": px(y), "width": px(width)}
                shade = f"{max(0.0, min(1.0, value / top)) * 0.6:.2f}"
                own.append(
                    element(
                        "g",
                        element("rect", **box, height=px(HEAT), fill_opacity=shade, class_="cell"),
                        text(
                            names + width * (place + 0.5),
                            y + 16,
                            f"{value:.2f}" if top == 1 else f"{value:.2g}",
                            "middle",
                        ),
                        element("title", tip),
                    )
                )
        marks.append(element("g", *own, class_=one.style, **known_by(one.scenario)))
    marks.append(text(names + (FOREST - names) / 2, foot + 34, x_name, "middle"))
    body = join([element("title", title), *marks])
    box_all = f"0 0 {FOREST:g} {foot + 42:g}"
    return element("svg", body, viewBox=box_all, role="img", aria_label=title, class_="heat")


def effect_row(one: Effect, top: float, axis: Axis) -> list[Markup]:
    """Its name and the effect in figures, beneath them the interval and the effect as a dot."""
    last = top + LINE * (one.lines - 1)
    style = "failed" if one.value is None else "figures"
    said = [
        text(8, top + 14, one.name, "start"),
        text(FOREST - 8, last + 14, one.words, "end", style),
    ]
    tip = element("title", " ".join(filter(None, (f"{one.name}: {one.words}.", one.tip))))
    if one.value is None:
        return [element("g", *said, tip)]
    low, high = one.interval or (one.value, one.value)
    y = last + 26
    mark = element("circle", cx=px(axis.at(one.value)), cy=px(y), r="4.5")
    line = rule(axis.at(low), y, axis.at(high), y, "interval")
    return [element("g", *said, line, mark, tip, class_=one.style)]


def in_figures(value: float, interval: Sequence[float] | None) -> str:
    """An effect with its interval, to two digits of the interval's half."""
    if interval is None or interval[0] == interval[1]:
        return f"{value:+.3g}"
    low, high = interval
    places = max(0, 1 - math.floor(math.log10((high - low) / 2)))
    return f"{value:+.{places}f} [{low:.{places}f}, {high:.{places}f}]"


def bar(one: Bars, index: int, left: float, width: float, axis: Axis, name: str) -> list[Markup]:
    """One bar with its error bar, or nothing."""
    height, error = one.heights[index], one.errors[index]
    if height is None:
        return []
    top = axis.at(height)
    spread = "" if error is None else f" ± {error:.2g}"
    tip = element("title", f"{one.name}, {name}: {height:.4g}{spread}")
    box = {"x": px(left), "y": px(top), "width": px(width * 0.9)}
    marks = [element("rect", **box, height=px(axis.start - top)), tip]
    if error is not None:
        middle, low = left + 0.45 * width, min(axis.start, axis.at(height - error))
        marks.append(rule(middle, axis.at(height + error), middle, low, "error"))
    return [element("g", *marks, class_=one.style, **known_by(one.scenario))]


def curves(series: Sequence[Series], x_axis: Axis, y_axis: Axis) -> list[Markup]:
    """All thin lines first, so that no mean is hidden."""
    drawn = [
        polyline(line, x_axis, y_axis, f"{one.style} thin", known_by(one.scenario, seed))
        for one in series
        for line, seed in zip(one.thin, one.seeds or [""] * len(one.thin), strict=True)
    ]
    for one in series:
        line = polyline(one.bold, x_axis, y_axis, f"{one.style} bold")
        points = [
            dot(x_axis.at(x), y_axis.at(y), "2", tip)
            for (x, y), tip in zip(one.bold, one.tips, strict=False)
        ]
        place = {"class_": one.style, **known_by(one.scenario)}
        drawn.append(element("g", line, *points, element("title", one.name), **place))
    return drawn


def dot(x: float, y: float, radius: str, tip: str) -> Markup:
    """A point that says something."""
    return element("circle", element("title", tip), cx=px(x), cy=px(y), r=radius)


def known_by(scenario: str, seed: str = "") -> dict[str, object]:
    """Attributes by which a page leaves a mark out; none where it is of all."""
    words = {"data_scenario": scenario, "data_seed": seed}
    return {name: word for name, word in words.items() if word}


def polyline(
    points: Sequence[Point],
    x_axis: Axis,
    y_axis: Axis,
    style: str,
    known: Mapping[str, object] = MappingProxyType({}),
) -> Markup:
    """One line through `points`."""
    text = " ".join(f"{px(x_axis.at(x))},{px(y_axis.at(y))}" for x, y in points)
    return element("polyline", points=text, class_=style, **known)


def chart(title: str, x_name: str, y_name: str, y_axis: Axis, marks: Sequence[Markup]) -> Markup:
    """The frame every chart shares: y grid, axis names, accessible title."""
    middle = (TOP + HEIGHT - BOTTOM) / 2
    grid = [tick_y(y_axis.at(tick), f"{tick:g}") for tick in y_axis.ticks()]
    turned = f"translate(14 {middle:g}) rotate(-90)"
    names = [
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_name, "middle"),
        element("g", text(0, 0, y_name, "middle"), transform=turned),
    ]
    body = join([element("title", title), *grid, *names, *marks])
    box = f"0 0 {WIDTH:g} {HEIGHT:g}"
    return element("svg", body, viewBox=box, role="img", aria_label=title)


def tick_x(x: float, label: str, foot: float = HEIGHT - BOTTOM) -> Markup:
    """A mark and label below the plot."""
    return join([rule(x, foot, x, foot + 4, "axis"), text(x, foot + 17, label, "middle")])


def tick_y(y: float, label: str) -> Markup:
    """A grid line with its label on the left."""
    return join([rule(LEFT, y, WIDTH - RIGHT, y, "grid"), text(LEFT - 6, y + 4, label, "end")])


def rule(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    """A straight line."""
    return element("line", x1=px(x1), y1=px(y1), x2=px(x2), y2=px(y2), class_=style)


def text(x: float, y: float, label: str, anchor: str, style: str = "") -> Markup:
    """A label."""
    place = {"class_": style} if style else {}
    return element("text", label, x=px(x), y=px(y), text_anchor=anchor, **place)


def px(value: float) -> str:
    """A pixel position at a tenth of a pixel: short, and the same text on every machine."""
    return f"{value + 0.0:.1f}"
