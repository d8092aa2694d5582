"""Templates and what they may call: every text is escaped on its way into a page.

Besides, a page's policy lets no script run but its own, known by its hash, and nothing be loaded.

What is not text of ours reaches a page through a template only. `Markup` is HTML that a template or
the chart code has made.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lacuna.report.figure import Panel
from lacuna.report.labels import WARNINGS
from lacuna.report.table import Column, Row, Table, plain

HERE = Path(__file__).parent
DIGITS = 4
"""Significant digits on a page; the files have 6."""
KEY = 12
"""Digits of a stage's key on a page; the files, and the list of runs, have all 64."""


@dataclass(frozen=True)
class Section:
    """A part of a page with a link to it."""

    anchor: str
    title: str
    body: Markup


def render(template: str, **values: object) -> Markup:
    """One template, filled. Raises an error for a name that it uses and is not given."""
    return Markup(ENVIRONMENT.get_template(template).render(**values))


def document(title: str, before: Markup, sections: Sequence[Section]) -> str:
    """A self-contained page: title, what stands before the links, then the sections with a body."""
    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return render(
        "document.html.jinja",
        title=title,
        before=before,
        sections=[section for section in sections if section.body],
        css=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
    )


def table(one: Table, template: str = "table.html.jinja", **more: object) -> Markup:
    """A table with its note, an empty one says so; by another template, with what it needs more."""
    return render(template, table=one, **more)


def figures(panels: Sequence[Panel]) -> Markup:
    """Charts side by side; nothing where there are none."""
    return render("figures.html.jinja", panels=panels) if panels else Markup("")


def lines(sentences: Sequence[str], style: str = "headline") -> Markup:
    """Sentences that say what was found, before everything else."""
    return render("lines.html.jinja", sentences=sentences, style=style)


def folded(title: str, body: Markup) -> Markup:
    """What is shown on demand."""
    return render("folded.html.jinja", title=title, body=body)


def shown(one: Table) -> list[Column]:
    """The columns that a page shows: those with a value in any row."""
    return [
        column
        for column in one.columns
        if not column.hidden and any(plain(row.get(column.name)) for row in one.rows)
    ]


def style(column: Column, value: object) -> str | None:
    """Class of a cell: words from the left, long ones broken, failures marked."""
    if isinstance(value, str) and value.startswith(("failed (", *WARNINGS)):
        return "text failed"
    return "long" if column.long else "text" if isinstance(value, str) else None


def words(value: object, digits: int = DIGITS, separator: str = ", ") -> str:
    """A value for people: fewer digits than in the files, room between members of a list."""
    if isinstance(value, (list, tuple)):
        return separator.join(plain(item, digits) for item in value)
    return plain(value, digits)


def origin(row: Row) -> str | None:
    """The title of a row or cell: the keys of its stages."""
    keys = row.get("keys")
    if not isinstance(keys, list) or not keys:
        return None
    return f"stages: {' '.join(str(key)[:KEY] for key in keys)}"


ENVIRONMENT = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
ENVIRONMENT.filters |= {"words": words}
ENVIRONMENT.globals |= {"shown": shown, "style": style, "origin": origin}
