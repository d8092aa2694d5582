"""HTML and SVG elements as strings, escaped unless already made here."""

import html
from collections.abc import Iterable


class Markup(str):
    """Text that is already HTML; every other string is escaped when it enters an element."""

    __slots__ = ()


EMPTY = frozenset({"meta", "line", "polyline", "rect"})


def escape(text: object) -> Markup:
    """`text` as HTML: unchanged if it is `Markup`, else with special characters escaped."""
    return text if isinstance(text, Markup) else Markup(html.escape(str(text), quote=True))


def join(parts: Iterable[object], between: str = "") -> Markup:
    """The escaped parts, one after another."""
    return Markup(between.join(escape(part) for part in parts))


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """One element; an attribute that is None is left out.

    In attribute names a trailing underscore is dropped (`class_`) and others become hyphens.
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            words.append(f'{key.rstrip("_").replace("_", "-")}="{escape(value)}"')
    opening = " ".join(words)
    # A browser closes `meta` by itself but not SVG's shapes: without the slash they would nest.
    return Markup(f"<{opening}/>" if name in EMPTY else f"<{opening}>{join(children)}</{name}>")
