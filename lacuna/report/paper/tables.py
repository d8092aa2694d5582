"""Tables as Markdown and LaTeX text; the keys of a row's stages stand in comments."""

import re
from collections.abc import Sequence

from lacuna.report.html.environment import origin, shown, words
from lacuna.report.table import Column, Row, Table

MARKS = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "\u00b1": r"$\pm$",
    "\u2265": r"$\geq$", "\u2013": "--", **{mark: f"\\{mark}" for mark in "{}$&#_%"},
}  # fmt: skip
"""What means something to LaTeX, and how it is written."""


def markdown(table: Table) -> str:
    """A pipe table below its title and note."""
    columns = shown(table)
    lines = [
        _piped(_names(columns)),
        _piped(["---" if column.text or column.long else "---:" for column in columns], raw=True),
        *(_piped(_cells(row, columns)) for row in table.rows),
    ]
    keys = [found.replace("--", "- -") for row in table.rows if (found := origin(row))]
    comment = ["", "<!-- a row each:", *keys, "-->"] if keys else []
    return "\n".join([f"# {table.title}", "", table.note, "", *lines, *comment]) + "\n"


def latex(table: Table) -> str:
    """A tabular with the rules of booktabs; needs `\\usepackage{booktabs}`."""
    columns = shown(table)
    sides = "".join("l" if column.text or column.long else "r" for column in columns)
    lines = [
        f"% {_line(table.title)}: {_line(table.note)}",
        r"% \usepackage{booktabs}",
        f"\\begin{{tabular}}{{{sides}}}",
        r"\toprule",
        _row(_names(columns)),
        r"\midrule",
        *(_row(_cells(row, columns)) + _comment(row) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _names(columns: Sequence[Column]) -> list[str]:
    return [column.name.replace("_", " ") for column in columns]


def _cells(row: Row, columns: Sequence[Column]) -> list[str]:
    return [words(row.get(column.name)) for column in columns]


def _line(text: str) -> str:
    return " ".join(text.split())


def _comment(row: Row) -> str:
    found = origin(row)
    return f" % {_line(found)}" if found else ""


def _piped(cells: Sequence[str], raw: bool = False) -> str:
    safe = cells if raw else [re.sub(r"([\\|<>*_`\[\]])", r"\\\1", _line(cell)) for cell in cells]
    return f"| {' | '.join(safe)} |"


def _row(cells: Sequence[str]) -> str:
    safe = ["".join(MARKS.get(mark, mark) for mark in _line(cell)) for cell in cells]
    return f"{' & '.join(safe)} \\\\"
