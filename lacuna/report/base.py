"""What a report is made from, and the one table type all its files come from."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lacuna.artifacts import write_json, write_text

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Margins:
    """Differences too small to matter, fixed before any result: half-widths around zero."""

    aues: float = 0.02
    """Area under the FS-RS curve."""
    mu95: float = 1.0
    """log10 p."""
    es: float = 0.02
    """Mean extraction strength of the people an attack did not train on."""
    logp: float = 0.1
    """Their mean log-probability, nats per token."""
    precision: float = 0.05
    """Precision of a localizer above or below chance."""
    auc: float = 0.01
    """ROC-AUC of where weights moved, above or below 1/2 or its null."""
    success: float = 0.05
    """Success@k: share of facts that any of k prompts brings out."""


@dataclass(frozen=True)
class Results:
    """Everything `render` needs, as plain JSON values; it reads no checkpoint and no server."""

    study: str
    config: Mapping[str, Any]
    """Resolved configuration, shown in the page only."""
    stages: Sequence[Mapping[str, Any]]
    """Each: "key", "kind", "label", "tags", "summary" (or "failed": reason), and for the page
    "run_id" and "seconds" (may be None)."""
    comparisons: Sequence[Mapping[str, Any]] = ()
    """Records of `significance.compare`, each with "ratio", "objective", "scenario_a" and
    "scenario_b" added: a difference is a minus b, so `oracle` against `random` has oracle as a."""
    choices: Sequence[Mapping[str, Any]] = ()
    """Each: "objective", "scenario", "lr" (None: no candidate survived), "in_window", "reason"."""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Per stage kind: "planned", "reused", "trained"."""
    tracking_uri: str | None = None
    margins: Margins = field(default_factory=Margins)


@dataclass(frozen=True)
class Table:
    """Rows with the same columns; `name` is its file name, `note` what a reader must know."""

    name: str
    title: str
    note: str
    columns: tuple[str, ...]
    rows: Sequence[Row]

    def write(self, folder: Path) -> None:
        """Write NAME.csv and NAME.json: the same values, numbers with 6 significant digits."""
        write_text(folder / f"{self.name}.csv", self.to_csv())
        rows = [{name: rounded(row.get(name)) for name in self.columns} for row in self.rows]
        text = {"name": self.name, "title": self.title, "note": self.note}
        write_json(folder / f"{self.name}.json", text | {"columns": self.columns, "rows": rows})

    def to_csv(self) -> str:
        """Comma-separated text: empty for None, `;` between the members of a list."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([plain(row.get(name)) for name in self.columns] for row in self.rows)
        return stream.getvalue()


def rounded(value: Any) -> Any:
    """`value` with every float at 6 significant digits; a float that is not finite becomes None."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return value


def plain(value: Any, digits: int = 6) -> str:
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
