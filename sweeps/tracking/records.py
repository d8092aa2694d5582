"""What a run shows, as plain values.

A record is JSON, so that it can wait on disk; nothing here talks to a server.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypedDict, TypeGuard
from uuid import uuid4

from lacuna.results import Summary
from sweeps.stage import Stage

Metric = tuple[str, float, int]
"""Name, value, step."""
Point = tuple[str, float, int, int]
"""A metric and when it was measured, in epoch milliseconds: sent twice, it is stored once."""
PARAMETERS, CURVES = {"lr", "ratio", "seed", "region"}, {"alphas", "curve"}
SCORES = {"aues", "mu95", "fs_end", "rs_end", "forget_es", "retain_es", "mu", "fq"}


class Dataset(TypedDict):
    """A dataset as the tracking server shows it."""

    name: str
    digest: str
    role: str
    """What the run uses it for."""
    source: Mapping[str, object]
    profile: Mapping[str, object]


def now() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass
class Record:
    """A run, and what has not been sent to its server yet."""

    name: str
    experiment: str
    tags: dict[str, str]
    params: dict[str, str]
    uid: str = field(default_factory=lambda: uuid4().hex)
    run_id: str = ""
    """The server's; empty until it has opened the run."""
    tried: bool = False
    """Whether the server was asked to open it, perhaps with success."""
    started: int = field(default_factory=now)
    points: list[Point] = field(default_factory=list)
    data: list[Dataset] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    """Artifacts: path in the run -> content."""
    status: str = ""
    """Empty while the run goes on."""
    ended: int = 0

    def add(self, rows: list[Metric]) -> None:
        """Add metrics, measured now; values that are not finite are left out."""
        at = now()
        self.points += [(*row, at) for row in rows if math.isfinite(row[1])]


def run_name(stage: Stage) -> str:
    """A short name: objective, scenario and seed of a trial; columns hold the rest."""
    tags = stage.tags
    if "objective" not in tags:
        return stage.label
    name = f"{tags['objective']} {tags['scenario']} seed={tags['seed']}"
    if "region" in tags:
        name += f" region={tags['region']}"
    if tags["purpose"] != "search":
        return name
    rung = f" steps={tags['rung']}" if "rung" in tags else ""
    return f"search {name} lr={tags['lr']}{rung}"


def flat(value: object, prefix: str = "") -> dict[str, str]:
    """Nested JSON as `{"a/b": text}`; a list stays one entry."""
    if not isinstance(value, Mapping):
        return {prefix: str(value)}
    rows: dict[str, str] = {}
    for name, inner in value.items():
        rows |= flat(inner, f"{prefix}/{name}" if prefix else str(name))
    return rows


def metrics(summary: Summary) -> list[Metric]:
    """A summary's numbers: final scores, the rest by its path, then curves.

    A curve's point has 100 alpha as its step, a layer's number has the layer; attacks are told
    apart by name and learning rate, localizers by name; true is 1. Per-item lists stay in the
    store: they are data, not metrics.
    """
    skipped = PARAMETERS | CURVES | SCORES
    rest = {name: value for name, value in summary.items() if name not in skipped}
    final = {name: value for name, value in scores(summary).items() if _is_number(value)}
    found = [(name, float(value), 0) for name, value in final.items()] + list(_numbers(rest, ""))
    if "curve" in summary:
        steps = [round(100 * alpha) for alpha in summary["alphas"]]
        for name, values in summary["curve"].items():
            if isinstance(values, list):  # the forget quality may be undefined
                points = zip(steps, values, strict=True)
                found += [(f"curve/{name}", v, step) for step, v in points if _is_number(v)]
    return found


def scores(summary: Summary) -> dict[str, float | None]:
    """The scores that any two models can be compared by, None where one was not measured.

    A trial's fs, rs, mu and fq are those at alpha = 1, another model's its own.
    """
    names = ("aues", "fs", "rs", "mu", "fq", "mu95", "mu95_crossed")
    found: dict[str, float | None] = dict.fromkeys(names)
    if "forget_es" in summary:
        found |= {"fs": 1 - summary["forget_es"], "rs": summary["retain_es"], "mu": summary["mu"]}
    if "fq" in summary:
        found["fq"] = summary["fq"]
    if "curve" in summary:
        found |= {"aues": summary["aues"], "fs": summary["fs_end"], "rs": summary["rs_end"]}
        if summary["purpose"] == "test":
            curve, mu95 = summary["curve"], summary["mu95"]
            found["mu"], found["fq"] = curve["mu"][-1], curve["fq"][-1] if curve["fq"] else None
            if mu95 is not None:
                found |= {"mu95": mu95["value"], "mu95_crossed": mu95["crossed"]}
    return found


def _numbers(value: object, path: str, step: int = 0) -> Iterator[Metric]:
    if _is_number(value):
        yield path, float(value), step
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(inner, f"{path}/{name}" if path else str(name), step)
    elif isinstance(value, list):
        for row in value:
            if isinstance(row, Mapping):
                yield from _numbers(*_row(row, path, step))


def _row(row: Mapping[str, object], path: str, step: int) -> tuple[dict[str, object], str, int]:
    """A row without the name or layer that identifies it, which goes into its path or step."""
    rest = dict(row)
    if "layer" in row:
        return rest, path, int(str(rest.pop("layer")))
    if "localizer" in row:
        return rest, f"localizer/{rest.pop('localizer')}", step
    if "attack" in row:
        name, lr = rest.pop("attack"), rest.pop("lr", None)
        level = rest.pop("start_level", None)
        name = f"{name}{'' if level is None else f' from {level:g}'}"
        return rest, f"attack/{name}" if lr is None else f"attack/{name} lr {lr:g}", step
    return {}, path, step


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)
