"""The engine on a small local Ray with toy stages: dependencies, reuse, failures, lost workers."""

import io
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.stores import new_database

from lacuna.errors import UserError
from sweeps.engine.on_ray.engine import RayEngine
from sweeps.stage import Stage
from sweeps.tracking.runs import Tracker

HERE = Path(__file__).resolve()


def toy(
    stage: Stage,
    inputs: Mapping[str, Path],
    out: Path,
    on_step: Callable[[int, Mapping[str, float]], None],
) -> dict[str, Any]:
    """Sums its inputs' values and its own; leaves a mark per execution. Runs in a worker."""
    marks = Path(stage.params["marks"])
    (marks / f"{stage.label}.{time.time_ns()}").write_text(str(os.getpid()))
    if stage.params.get("fail") == "bad":
        raise UserError("temperature=-1 is not positive: choose one above 0")
    if stage.params.get("fail") == "bug":
        raise KeyError("a bug")
    if stage.params.get("fail") == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if stage.params.get("fail") == "killed once" and len(executions(marks, stage.label)) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    total = stage.params["value"]
    for folder in inputs.values():
        total += int((folder / "value.txt").read_text())
    (out / "value.txt").write_text(str(total))
    on_step(1, {"loss": 0.5})
    ends = {"purpose": "search", "aues": 0.5, "fs_end": 0.9, "rs_end": 0.8}
    curve = {"fs": [0.1, 0.2, 0.9], "rs": [1.0, 0.9, 0.8]}
    return {"value": total, "alphas": [0.0, 0.5, 1.0], "curve": curve, **ends}


def cube(value: int) -> int:
    """A toy significance test."""
    if value < 0:
        raise UserError(f"value={value} is negative")
    return value**3


def executions(marks: Path, label: str) -> list[Path]:
    """One file per time the stage ran."""
    return list(marks.glob(f"{label}.*"))


class World:
    """A study's folders, and engines over them that share nothing but the disk."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.marks = folder, folder / "marks"
        self.marks.mkdir()
        self.uri = new_database(folder / "mlflow.db")

    def engine(self, **options: Any) -> RayEngine:
        self.tracker = Tracker(self.uri, "toys", self.folder / "mlruns")
        self.tracker.begin({"grid": {"seeds": [1, 2]}})
        settings = {"cpus": 2, "work": "test_engine.toy", "ttl": 30.0, "beat": 1.0} | options
        store, ray_folder = self.folder / "checkpoints", self.folder / "ray"
        return RayEngine(self.tracker, store, ray_folder, stream=io.StringIO(), **settings)

    def stage(self, label: str, value: int, inputs: Mapping[str, Stage], **more: Any) -> Stage:
        params = {"value": value, "marks": str(self.marks), **more}
        keys = {role: stage.key for role, stage in inputs.items()}
        return Stage("toy", label, params, keys, {"seed": "1", "label": label})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        folders = f"{HERE.parent}{os.pathsep}{HERE.parents[1]}"
        patch.setenv("PYTHONPATH", folders, prepend=os.pathsep)
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        yield World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def engine(world: World) -> Iterator[RayEngine]:
    """One Ray for all tests here: to start it costs more than they do."""
    with world.engine() as engine:
        yield engine


def diamond(world: World) -> dict[str, Stage]:
    top = world.stage("top", 1, {})
    left = world.stage("left", 10, {"top": top})
    right = world.stage("right", 100, {"top": top})
    return {
        "bottom": world.stage("bottom", 1000, {"left": left, "right": right}),
        "left": left,
        "right": right,
        "top": top,
    }


def test_a_diamond_runs_each_stage_once_and_a_second_study_trains_nothing(
    world: World, engine: RayEngine
) -> None:
    stages = diamond(world)
    results = engine.run_tasks(stages.values())
    values = {name: results[stage.key]["value"] for name, stage in stages.items()}
    assert values == {"top": 1, "left": 11, "right": 101, "bottom": 1112}
    labels = {stage.key: stage.label for stage in stages.values()}
    ended = [labels[key] for key in engine.results if key in labels]
    assert ended[0] == "top" and ended[-1] == "bottom" and len(ended) == 4
    assert all(len(executions(world.marks, name)) == 1 for name in stages)
    assert engine.counts["trained"] == {"toy": 4}
    world.tracker.finish(engine.counts)

    with world.engine() as second:
        assert second.run_tasks(stages.values()) == results
        assert not second.session.started  # nothing to do
    assert second.counts["reused"] == {"toy": 4} and second.counts["trained"] == {}
    assert all(len(executions(world.marks, name)) == 1 for name in stages)
    check_runs(world, engine, stages)


def test_plain_functions_are_mapped_in_order_and_their_own_error_is_raised(
    engine: RayEngine,
) -> None:
    assert engine.map(cube, [3, 1, 2]) == [27, 1, 8]
    with pytest.raises(UserError, match="^value=-1 is negative$"):
        engine.map(cube, [-1])


def test_a_stage_too_large_for_every_node_is_refused_in_one_line(engine: RayEngine) -> None:
    with pytest.raises(UserError, match="huge needs 64 CPU, but no Ray node has that") as caught:
        engine.run_tasks([Stage("toy", "huge", {}, {}, {}, cpus=64)])
    assert "\n" not in str(caught.value)


def test_a_study_that_no_node_can_finish_is_refused_before_its_first_stage(
    world: World, engine: RayEngine
) -> None:
    small = world.stage("small", 77, {})
    engine.expect([small, Stage("trial", "later", {}, {}, {}, gpus=64)])
    with pytest.raises(UserError, match="later needs 1 CPU and 64 GPU, but no Ray node has that"):
        engine.run_tasks([small])
    engine.expect([])
    assert executions(world.marks, "small") == []
    assert engine.map(cube, [2]) == [8], "what takes one CPU needs no more than that"


def check_runs(world: World, engine: RayEngine, stages: Mapping[str, Stage]) -> None:
    """Four child runs below the first parent, none below the second, linked by their inputs."""
    client, place = world.tracker.client, engine.runtime.place
    children = f"tags.mlflow.parentRunId = '{place.parent}'"
    runs = {run.info.run_name: run for run in client.search_runs([place.experiment], children)}
    assert set(runs) == set(stages)
    bottom = runs["bottom"]
    assert bottom.info.status == "FINISHED"
    assert bottom.data.tags["input.left.run_id"] == runs["left"].info.run_id
    assert bottom.data.tags["input.left"] == stages["left"].key
    assert bottom.data.tags["study"] == "toys" and bottom.data.tags["seed"] == "1"
    assert bottom.data.params["value"] == "1000"
    assert bottom.data.metrics["value"] == 1112
    history = client.get_metric_history(bottom.info.run_id, "curve/fs")
    assert [(point.step, point.value) for point in history] == [(0, 0.1), (50, 0.2), (100, 0.9)]
    parent = client.get_run(place.parent)
    assert parent.data.metrics["trained/toy"] == 4 and parent.info.status == "FINISHED"
    again = f"tags.mlflow.parentRunId = '{world.tracker.place.parent}'"
    assert client.search_runs([place.experiment], again) == []
    assert engine.store.manifest(stages["bottom"].key)["run_id"] == bottom.info.run_id


def test_a_failing_stage_fails_its_dependants_only_and_a_lost_worker_is_replaced(
    world: World, engine: RayEngine
) -> None:
    good, bad = world.stage("good", 1, {}), world.stage("bad", 2, {}, fail="bad")
    child = world.stage("child", 3, {"bad": bad, "good": good})
    trials = {
        "of bad": world.stage("of bad", 4, {"child": child}),
        "bug": world.stage("bug", 5, {"good": good}, fail="bug"),
        "diverges": world.stage("diverges", 6, {"good": good}, fail="bad"),
        "deadly": world.stage("deadly", 9, {"good": good}, fail="killed"),
        "fragile": world.stage("fragile", 7, {"good": good}, fail="killed once"),
        "plain": world.stage("plain", 8, {"good": good}),
    }
    first = engine.run_tasks([child, bad, good])
    second = engine.run_trials(trials.values())
    assert first[good.key]["value"] == 1
    assert first[bad.key]["failed"] == "temperature=-1 is not positive: choose one above 0"
    assert first[child.key]["failed"] == "needs bad, which failed"
    assert executions(world.marks, "child") == []
    reasons = {name: second[stage.key].get("failed") for name, stage in trials.items()}
    assert reasons["of bad"] == "needs child, which failed"
    assert reasons["diverges"] == "temperature=-1 is not positive: choose one above 0"
    given_up = "given up after 3 attempts in a row, the last: "
    assert f"{given_up}KeyError: 'a bug'; mend" in reasons["bug"]
    assert f"{given_up}its process died or fell silent" in reasons["deadly"]
    assert reasons["fragile"] is None and second[trials["fragile"].key]["value"] == 8
    assert reasons["plain"] is None and second[trials["plain"].key]["value"] == 9
    times = {name: len(executions(world.marks, name)) for name in trials}
    assert times == {"of bad": 0, "bug": 3, "diverges": 1, "deadly": 3, "fragile": 2, "plain": 1}
    assert engine.counts["failed"] == {"toy": 6}
    assert not [path for path in (world.folder / "checkpoints").rglob("*.part")]
