"""From stages to cells: which stages belong to one table cell, and what to say when some failed."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

Stage = Mapping[str, Any]
Value = str | float | None
NUMERIC = frozenset({"ratio", "seed", "lr", "turn"})


def fact(stage: Stage, name: str) -> Value:
    """A fact of a stage (objective, seed, lr, ...): from its summary, else from its tags.

    Tags are text, so those that count are read as numbers: a failed stage, which has no summary,
    falls into the same cell as its finished siblings. The ratio is the one asked for, which is in
    the tags; a summary holds the share of whole vectors that came out. None where neither knows.
    """
    places = [stage.get("summary") or {}, stage.get("tags") or {}]
    if name == "ratio":
        places.reverse()
    value = next((place[name] for place in places if place.get(name) not in (None, "")), None)
    if value is None:
        return None
    if name not in NUMERIC:
        return str(value)
    number = float(value)
    return int(number) if name in ("seed", "turn") else number


def of_kind(stages: Iterable[Stage], kind: str, purpose: str | None = None) -> list[Stage]:
    """The stages of one kind (and purpose), in the order of their labels and keys."""
    found = [s for s in stages if s["kind"] == kind and purpose in (None, fact(s, "purpose"))]
    return sorted(found, key=lambda stage: (order(fact(stage, "seed")), stage["key"]))


def order(value: Value) -> tuple[int, float, str]:
    """A sort key for mixed values: None, then numbers, then text."""
    if value is None:
        return (0, 0.0, "")
    return (2, 0.0, value) if isinstance(value, str) else (1, float(value), "")


@dataclass
class Cell:
    """The stages of one table cell: `done` finished, `failed` did not."""

    done: list[Stage] = field(default_factory=list)
    failed: list[Stage] = field(default_factory=list)

    @property
    def status(self) -> str:
        """`ok`, or `failed (k of n)` as soon as one of its n stages failed."""
        if not self.failed:
            return "ok"
        return f"failed ({len(self.failed)} of {len(self.done) + len(self.failed)})"

    @property
    def keys(self) -> list[str]:
        """Keys of all stages of the cell, finished or not: where its number comes from."""
        return [stage["key"] for stage in [*self.done, *self.failed]]

    @property
    def seeds(self) -> list[Value]:
        """Seeds of the finished stages."""
        return [fact(stage, "seed") for stage in self.done]

    def values(self, *path: str) -> list[float | None]:
        """The number at `path` in the summary of every finished stage."""
        return [number_at(stage["summary"], *path) for stage in self.done]

    def spread(self, values: Sequence[float | None]) -> "Spread":
        """Mean and spread of `values`; blank if any stage of the cell failed or lacks its value."""
        present = [value for value in values if value is not None]
        whole = not self.failed and len(present) == len(values)
        return Spread.over(present) if whole else Spread(len(present), None, None, None, None)


@dataclass(frozen=True)
class Spread:
    """Mean, sample sd and 95% t interval of the mean over n seeds; sd and interval need n > 1."""

    n: int
    mean: float | None
    sd: float | None
    lo: float | None
    hi: float | None

    @classmethod
    def over(cls, values: Sequence[float]) -> "Spread":
        """Summarise `values`; all None when there are none or one is not finite."""
        n = len(values)
        if n == 0 or not all(map(math.isfinite, values)):
            return cls(n, None, None, None, None)
        mean = float(np.mean(values))
        if n == 1:
            return cls(1, mean, None, None, None)
        sd = float(np.std(values, ddof=1))
        half = float(stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n)
        return cls(n, mean, sd, mean - half, mean + half)

    def columns(self, prefix: str = "") -> dict[str, float | None]:
        """The four numbers as table columns."""
        return {f"{prefix}{name}": getattr(self, name) for name in ("mean", "sd", "lo", "hi")}


def number_at(value: Any, *path: str) -> float | None:
    """The finite number at `path` in nested mappings, or None."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def grouped(stages: Iterable[Stage], *names: str) -> dict[tuple[Value, ...], Cell]:
    """Stages that share the facts `names`, as cells in sorted order."""
    cells: dict[tuple[Value, ...], Cell] = {}
    for stage in stages:
        cell = cells.setdefault(tuple(fact(stage, name) for name in names), Cell())
        (cell.failed if stage.get("summary") is None else cell.done).append(stage)
    return {key: cells[key] for key in sorted(cells, key=lambda key: [order(v) for v in key])}


def without_paths(reason: str) -> str:
    """`reason` in one line, with the folders of absolute paths dropped: tables hold no paths."""
    return re.sub(r"(?<![\w.:/])/(?:[^\s/'\",:]+/)+", "", " ".join(reason.split()))
