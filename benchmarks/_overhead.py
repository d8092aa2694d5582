"""What a trial costs beyond its work: through the engine, and called directly."""

import argparse
import io
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks._report import Part, against, milliseconds, seconds_of
from benchmarks._toys import WORK, toy, work
from sweeps.engine.on_ray.engine import RayEngine
from sweeps.engine.worker import Runtime, attempt, pack
from sweeps.stage import Stage
from sweeps.tracking.runs import Tracker

PER_TRIAL = 0.150  # seconds a trial may cost beyond its work


def report(folder: Path, given: argparse.Namespace) -> Part:
    """(c) What a trial costs beyond its work: through the engine, and called directly."""
    n = given.trials
    tracker = Tracker(f"sqlite:///{folder / 'mlflow.db'}", "overhead", folder / "mlruns")
    tracker.begin({})
    places = {"root": folder / "checkpoints", "ray_folder": folder / "ray"}
    stages = [toy("trial", number) for number in range(n)]
    with RayEngine(tracker, **places, work=WORK, stream=io.StringIO()) as engine:
        ray = seconds_of(lambda: engine.map(abs, [-1]))
        ended = [time.monotonic()]
        through = seconds_of(
            lambda: engine.run_trials(stages, lambda *_: ended.append(time.monotonic()))
        )
        again = seconds_of(lambda: engine.run_trials(stages))
        trained = engine.counts["trained"].get("trial", 0)
        tracker.finish(engine.counts)
        direct = seconds_of(lambda: _call(stages, folder / "direct"))
        alone = seconds_of(lambda: _attempts(engine.runtime, folder, n))
    extra = (through - direct) / n
    part = Part(f"(c) {n} trivial trials")
    part.add("Ray started in", f"{ray:.1f} s")
    part.add("stages called directly, one process", f"{milliseconds(direct / n)} per trial")
    part.add("with store, leases and tracking, one process", f"{milliseconds(alone / n)} per trial")
    part.add("engine, first trial ended after", f"{ended[1] - ended[0]:.1f} s")
    part.add(
        "engine, from the first trial to the last", f"{milliseconds(_steady(ended))} per trial"
    )
    part.add(
        "engine, in all", f"{milliseconds(through / n)} per trial, {through / direct:.0f}x direct"
    )
    part.add("beyond the work", f"{milliseconds(extra)} per trial, {against(extra, PER_TRIAL)}")
    part.add("the same again, all in the store", f"{again:.2f} s")
    if trained != n:
        part.violations.append(f"{trained} of {n} trials were computed and published")
    return part


def _call(stages: Sequence[Stage], folder: Path) -> None:
    for number, stage in enumerate(stages):
        out = folder / str(number)
        out.mkdir(parents=True)
        work(stage, {}, out, lambda step, values: None)


def _attempts(runtime: Runtime, folder: Path, n: int) -> None:
    """What a worker does, without Ray and other workers."""
    for number in range(n):
        said = attempt(runtime, pack(toy("alone", number)))
        assert said["how"] == "trained", said


def _steady(ended: list[float]) -> float:
    return (ended[-1] - ended[1]) / max(1, len(ended) - 2)
