"""Two drivers, each with a local Ray of its own, run the same study at the same time.

`python -m benchmarks._drivers URI FOLDER NAME OTHER` is one of them.
"""

import argparse
import io
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks._contention import publications
from benchmarks._report import Part
from benchmarks._server import Server
from benchmarks._toys import WORK, executions, toy
from lacuna.artifacts import read_json, write_json
from sweeps.engine.on_ray.engine import RayEngine
from sweeps.stage import Stage
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.tracking.client import connect
from sweeps.tracking.runs import Tracker

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("one", "other")
LIMIT = 300.0  # seconds
INJECTIONS, TRIALS = 4, 4  # trials per injection
SECONDS = 0.4  # of work per stage


def study(marks: Path) -> tuple[list[Stage], list[Stage]]:
    """Injections, and the trials that stand on them."""
    injections = [toy("injected", n, marks, seconds=SECONDS) for n in range(INJECTIONS)]
    trials = [
        toy("trial", 100 * n + t, marks, [injected], SECONDS)
        for n, injected in enumerate(injections)
        for t in range(TRIALS)
    ]
    return injections, trials


def drive(uri: str, folder: Path, name: str, other: str) -> None:
    """One driver: starts Ray, waits for the other at the line, and runs."""
    injections, trials = study(folder / "marks")
    tracker = Tracker(uri, f"drivers-{name}", folder / "mlruns")
    tracker.begin({})
    places = {"root": folder / "checkpoints", "ray_folder": folder / "ray"}
    settings = {"cpus": 1, "ttl": 30.0, "beat": 1.0}
    with RayEngine(tracker, **places, work=WORK, stream=io.StringIO(), **settings) as engine:
        engine.map(abs, [-1])  # Ray has started
        (folder / f"{name}.ready").touch()
        while not (folder / f"{other}.ready").exists():
            time.sleep(0.01)
        found = engine.run_tasks(injections) | engine.run_trials(trials)
        tracker.finish(engine.counts)
        write_json(folder / f"{name}.json", {"counts": engine.counts, "results": found})


@dataclass
class Outcome:
    """What two drivers did together."""

    keys: int
    publications: int
    trained: dict[str, int]
    """Results published by either driver, by kind of stage."""
    computed: int
    """Executions of a stage's own code."""
    violations: list[str]


def race(uri: str, folder: Path) -> Outcome:
    """Start both drivers and wait for them."""
    (folder / "marks").mkdir(parents=True)
    here = [sys.executable, "-m", "benchmarks._drivers", uri, str(folder)]
    pairs = (NAMES, NAMES[::-1])
    processes = [subprocess.Popen([*here, *pair], cwd=ROOT) for pair in pairs]
    try:
        codes = [process.wait(LIMIT) for process in processes]
    finally:
        for process in processes:
            process.kill()
    if any(codes):
        return Outcome(0, 0, {}, 0, [f"drivers ended with {codes}"])
    return _judge(uri, folder)


def _judge(uri: str, folder: Path) -> Outcome:
    injections, trials = study(folder / "marks")
    stages = [*injections, *trials]
    coordinator = MlflowCoordinator(connect(uri))
    counts = {stage.key: publications(coordinator, stage) for stage in stages}
    said = [read_json(folder / f"{name}.json") for name in NAMES]
    trained = {
        kind: sum(driver["counts"]["trained"].get(kind, 0) for driver in said)
        for kind in ("injected", "trial")
    }
    violations = [
        f"{stage.label} has {counts[stage.key]} publications"
        for stage in stages
        if counts[stage.key] != 1
    ]
    if said[0]["results"] != said[1]["results"]:
        violations.append("the drivers have different results")
    values = {stage.key: stage.params["number"] for stage in injections}
    values |= {t.key: t.params["number"] + values[t.inputs["input0"]] for t in trials}
    if {key: result.get("value") for key, result in said[0]["results"].items()} != values:
        violations.append("the results are wrong")
    if trained != {"injected": len(injections), "trial": len(trials)}:
        violations.append(f"published by the drivers together: {trained}")
    computed = sum(len(executions(folder / "marks", stage.key)) for stage in stages)
    return Outcome(len(stages), sum(counts.values()), trained, computed, violations)


def report(folder: Path, given: argparse.Namespace) -> Part:
    """(b) Two drivers at once, one tracking server."""
    with Server(folder) as server:
        start = time.monotonic()
        outcome = race(server.uri, folder)
        seconds = time.monotonic() - start
    part = Part(
        "(b) two drivers, two local Ray clusters, one server", violations=outcome.violations
    )
    part.add("distinct keys", outcome.keys)
    part.add("publications", outcome.publications)
    part.add("published by both drivers together", outcome.trained)
    part.add("computations", outcome.computed)
    part.add("seconds", f"{seconds:.1f}")
    return part


if __name__ == "__main__":
    drive(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4])
