"""Stages that cost nothing: what is left is the cost of scheduling, leases, files and tracking."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lacuna.artifacts import read_json, write_json
from sweeps.stage import Stage

WORK = "benchmarks._toys.work"
STEP = 0.1  # seconds


def toy(
    kind: str,
    number: int,
    marks: Path | None = None,
    inputs: Iterable[Stage] = (),
    seconds: float = 0.0,
) -> Stage:
    """A stage worth `number` plus its inputs' values; `marks` gets a file per execution."""
    keys = {f"input{i}": stage.key for i, stage in enumerate(inputs)}
    context = {"marks": str(marks) if marks else None, "seconds": seconds}
    return Stage(kind, f"{kind} {number}", {"number": number}, keys, {}, context=context)


def work(
    stage: Stage,
    inputs: Mapping[str, Path],
    out: Path,
    on_step: Callable[[int, Mapping[str, float]], None],
) -> dict[str, Any]:
    """Run a toy: this is what a worker calls."""
    if stage.context["marks"]:
        mark(Path(stage.context["marks"]), stage.key)
    end = time.monotonic() + stage.context["seconds"]
    step = 0
    while time.monotonic() < end:
        time.sleep(min(STEP, stage.context["seconds"]))
        step += 1
        on_step(step, {"loss": 1 / step})
    value = stage.params["number"] + sum(
        read_json(folder / "summary.json")["value"] for folder in inputs.values()
    )
    (out / "value.txt").write_text(str(value))
    return {"value": value}


def mark(marks: Path, key: str) -> None:
    """Note that this process executes `key` now."""
    place = {"pid": os.getpid(), "node": os.environ.get("TOY_NODE", "")}
    write_json(marks / f"{key}.{time.time_ns()}.{os.getpid()}.json", place)


def executions(marks: Path, key: str) -> list[dict[str, Any]]:
    """Who executed `key`, in order of time."""
    return [read_json(path) for path in sorted(marks.glob(f"{key}.*.json"))]
