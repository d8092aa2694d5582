"""Tables: what each declares of itself and its columns, and the files that it writes.

A table is one file in `lacuna.report.tables`: a row type (a `TypedDict` whose fields carry their
`Column`), and a `StudyTable` that makes the rows, registered in `TABLES`.
"""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, get_type_hints

from lacuna.artifacts import write_json, write_text
from lacuna.registry import Registry
from lacuna.report.results import Results

Row = Mapping[str, object]
COMPUTED = ("=", "+", "-", "@", "\t", "\r")
"""What a formula begins with in a spreadsheet."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True)
class Column:
    """What a column holds. A row type has one in each field, which gives it its name."""

    help: str
    """A definition that stands alone: what is measured, of what, over what."""
    unit: str = ""
    direction: Direction = "none"
    """Which values are better; `none` where neither is, or the column is no result."""
    name: str = ""
    holds: object = float | None
    """Type of its values; taken from the field."""
    long: bool = False
    """Words of more than a line: the page breaks them."""
    hidden: bool = False
    """Only in the files: the page shows it elsewhere or not at all."""

    @property
    def text(self) -> bool:
        """Whether it holds words, which the page sets from the left."""
        return self.holds in (str, str | None)

    @property
    def title(self) -> str:
        """The definition with unit and direction, as a page's column head shows it."""
        better = "" if self.direction == "none" else f"{self.direction} is better"
        about = ", ".join(filter(None, (self.unit, better)))
        return f"{self.help} ({about})" if about else self.help


def columns_of(row: type) -> tuple[Column, ...]:
    """The columns that the fields of a row type declare, in their order."""
    columns = []
    for name, hint in get_type_hints(row, include_extras=True).items():
        declared = [part for part in getattr(hint, "__metadata__", ()) if isinstance(part, Column)]
        assert declared, f"{row.__name__}.{name} declares no Column"
        columns.append(replace(declared[0], name=name, holds=hint.__origin__))
    return tuple(columns)


@dataclass(frozen=True)
class Table:
    """Rows with the same columns; `name` is its file name, `note` what a reader must know."""

    name: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: Sequence[Row]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    def write(self, folder: Path) -> None:
        """Write NAME.csv and NAME.json: the same values, numbers with 6 significant digits."""
        write_text(folder / f"{self.name}.csv", self.to_csv())
        rows = [{name: rounded(row.get(name)) for name in self.names} for row in self.rows]
        text = {"name": self.name, "title": self.title, "note": self.note}
        write_json(folder / f"{self.name}.json", text | {"columns": self.names, "rows": rows})

    def to_csv(self) -> str:
        """Comma-separated text: empty for None, `;` between the members of a list.

        No cell is a formula to a spreadsheet (`in_csv`); the JSON file has words as they are.
        """
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(self.names)
        writer.writerows([in_csv(row.get(name)) for name in self.names] for row in self.rows)
        return stream.getvalue()


@dataclass(frozen=True)
class Recorded:
    """What a run leaves as expected of the next: numbers of a row, found again by its place."""

    place: tuple[str, ...]
    """Columns that tell a row from the others."""
    columns: tuple[str, ...]
    """Columns whose numbers are held to."""
    floor: float
    """Least tolerance, where the spread over seeds gives less."""


class StudyTable:
    """A table of a study. Subclasses declare what stands here and define `rows`."""

    order: ClassVar[int] = 1000
    """Place on the page among the other tables: lowest first."""
    title: ClassVar[str]
    note: ClassVar[str] = ""
    """What a reader must know besides the columns' definitions."""
    columns: ClassVar[tuple[Column, ...]]
    show: ClassVar[bool] = True
    """Whether the page shows it, besides the files."""
    optional: ClassVar[bool] = False
    """Left out of a study in which it has no rows."""
    of_run: ClassVar[bool] = False
    """Tells of this run (what it reused) rather than of the study: written beside the page."""
    template: ClassVar[str] = "table.html.jinja"
    """The page's form of it, among the templates of `lacuna.report.html`."""
    recorded: ClassVar[Recorded | None] = None
    """What of it a finished study is held to by `compare`; None: nothing."""

    @staticmethod
    def rows(results: Results) -> Iterable[Row]:
        """The rows of one study, in their order."""
        raise NotImplementedError

    @classmethod
    def note_for(cls, results: Results) -> str:
        """The note, where it depends on the study."""
        return cls.note


TABLES: Registry[type[StudyTable]] = Registry("table")


def make(name: str, results: Results) -> Table:
    """The table of that name; raises `UserError` if none is registered under it."""
    kind = TABLES[name]
    return Table(name, kind.title, kind.note_for(results), kind.columns, list(kind.rows(results)))


def in_csv(value: object) -> str:
    """One value as CSV has it: words that a spreadsheet would compute begin with an apostrophe."""
    text, first = plain(value), value[0] if isinstance(value, (list, tuple)) and value else value
    computed = isinstance(first, str) and text.startswith(COMPUTED) and not NUMBER.fullmatch(text)
    return f"'{text}" if computed else text


def rounded(value: Any) -> Any:
    """`value` with every float at 6 significant digits; a float that is not finite becomes None."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return value


def plain(value: object, digits: int = 6) -> str:
    """One value as text: floats at `digits` significant digits, None empty, lists joined."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.{digits}g}" if math.isfinite(value) else ""
    if isinstance(value, (list, tuple)):
        return ";".join(plain(item, digits) for item in value)
    return str(value)
