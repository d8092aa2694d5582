"""A stage's parameters and summary as the flat rows a tracking server takes."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

Metric = tuple[str, float, int]
"""Name, value, step."""


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested JSON as `{"a/b": text}`; a list stays one entry."""
    if not isinstance(value, Mapping):
        return {prefix: str(value)}
    rows: dict[str, str] = {}
    for name, inner in value.items():
        rows |= flat(inner, f"{prefix}/{name}" if prefix else str(name))
    return rows


def metrics(summary: Mapping[str, Any]) -> list[Metric]:
    """A summary's numbers.

    A curve's point has 100 alpha as its step, a layer's number has the layer; attacks are told
    apart by name and learning rate. Per-item lists stay in the store: they are data, not metrics.
    """
    rest = {name: value for name, value in summary.items() if name not in ("alphas", "curve")}
    found = list(_numbers(rest, ""))
    steps = [round(100 * alpha) for alpha in summary.get("alphas", [])]
    for name, values in summary.get("curve", {}).items():
        found += [
            (f"curve/{name}", float(value), step)
            for step, value in zip(steps, values, strict=True)
            if _is_number(value)
        ]
    return found


def _numbers(value: Any, path: str, step: int = 0) -> Iterator[Metric]:
    if _is_number(value):
        yield path, float(value), step
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(inner, f"{path}/{name}" if path else str(name), step)
    elif isinstance(value, list):
        for row in value:
            if isinstance(row, Mapping) and "layer" in row:
                inner = {name: item for name, item in row.items() if name != "layer"}
                yield from _numbers(inner, path, int(row["layer"]))
            elif isinstance(row, Mapping) and "attack" in row:
                yield from _numbers(*_attack(row))


def _attack(row: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    lr = row.get("lr")
    name = row["attack"] if lr is None else f"{row['attack']} lr {lr:g}"
    return {key: item for key, item in row.items() if key != "lr"}, f"attack/{name}"


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)
