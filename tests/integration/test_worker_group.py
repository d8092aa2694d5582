"""A stage over two workers of Ray Train: through the real pipeline, killed, and failing."""

import io
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from support.stores import new_database

from lacuna.errors import UserError
from lacuna.train import is_main_process
from sweeps.config.compose import configure
from sweeps.engine import execute
from sweeps.engine.on_ray.engine import RayEngine
from sweeps.plan.make import make_planner
from sweeps.plan.planner import Planner
from sweeps.plan.stages import Cell
from sweeps.stage import Stage
from sweeps.store.storage import scratch_of
from sweeps.tracking.runs import Tracker

HERE = Path(__file__).resolve().parent
MARKS = "TEST_GROUP_MARKS"
QUICK = [
    "model.mini.hidden=32",
    "model.mini.layers=2",
    "model.mini.intermediate=64",
    "evaluate.alphas=3",
    "evaluate.retain_items=4",
    "evaluate.utility_items=2",
    "evaluate.new_tokens=2",
    "attack.train.steps=1",
    "attack.bits=[8]",
]
"""A small model, evaluated and attacked as little as can be."""
pytestmark = pytest.mark.slow


def work(
    stage: Stage,
    inputs: Mapping[str, Path],
    out: Path,
    on_step: Callable[[int, Mapping[str, float]], None],
) -> dict[str, Any]:
    """The stage itself, but its first worker dies once, at step 5; or a toy that fails."""
    mark = Path(os.environ[MARKS]) / stage.key
    if stage.kind == "toy":
        if is_main_process():
            raise UserError("temperature=-1 is not positive: choose one above 0")
        torch.distributed.barrier()  # nobody will come

    def step(number: int, values: Mapping[str, float]) -> None:
        on_step(number, values)
        with mark.open("a") as stream:
            stream.write(f"{number} ")
        if stage.workers and number == 5 and mark.read_text().count("5 ") == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    return execute.execute(stage, inputs, out, step)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("group")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[RayEngine]:
    with pytest.MonkeyPatch.context() as patch:
        folders = f"{HERE}{os.pathsep}{HERE.parent}"  # of this file, and of what it imports
        patch.setenv("PYTHONPATH", folders, prepend=os.pathsep)
        patch.setenv(MARKS, str(folder))
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        tracker = Tracker(new_database(folder / "mlflow.db"), "group", folder / "mlruns")
        tracker.begin({})
        settings = {"cpus": 2, "work": "test_worker_group.work", "ttl": 15.0, "beat": 1.0}
        places = folder / "checkpoints", folder / "tune"
        with RayEngine(tracker, *places, stream=io.StringIO(), **settings) as engine:
            yield engine


def planned(folder: Path, *options: str) -> Planner:
    """A small study in which all parameters learn and unlearn, in eight steps or so."""
    return make_planner(
        configure(
            [
                "study=smoke",
                f"artifacts={folder}",
                "model.pretrain.steps=4",
                "retained.recipe.train.steps=8",
                "retained.recipe.train.save_every=2",
                "protocol=full",
                "scenarios=[full]",
                "unlearn.train.steps=8",
                *QUICK,
                *options,
            ]
        )
    )


def spread(key: str, zero: int) -> list[str]:
    """The options that spread a stage over two workers, and have it resumable."""
    resumed = ["unlearn.train.save_every=2"] if key == "unlearn.parallel" else []
    return [f"{key}.zero={zero}", f"{key}.workers=2", *resumed]


def test_two_workers_of_which_one_is_killed_train_as_one_process_does(
    engine: RayEngine, folder: Path
) -> None:
    plain, parted = planned(folder), planned(folder, *spread("retained.recipe.parallel", 3))
    base, alone, together = plain.stages.base(), plain.stages.retained(0), parted.stages.retained(0)
    assert (
        base.key == parted.stages.base().key and alone.key != together.key and together.workers == 2
    )
    results = engine.run_tasks([base, alone, together])
    one, two = results[alone.key], results[together.key]
    assert "failed" not in two, two
    assert two["steps"] == one["steps"] == 8
    for name in ("loss_end", "forget_es", "retain_es", "mu"):
        assert two[name] == pytest.approx(one[name], abs=2e-3), name
    assert (folder / together.key).read_text().split() == list("012345") + list("4567")
    found = engine.store.get(together.key)
    assert found is not None
    files = {path.relative_to(found).as_posix() for path in found.rglob("*")}
    plain = engine.store.get(alone.key)
    assert plain is not None
    assert files == {path.relative_to(plain).as_posix() for path in plain.rglob("*")}
    assert not any((folder / "checkpoints" / scratch_of(s.key)).exists() for s in (alone, together))
    assert engine.counts["trained"]["retained"] == 2


def test_all_parameters_learn_and_unlearn_over_two_workers_as_over_one(
    engine: RayEngine, folder: Path
) -> None:
    """Each first worker is killed once; a killed one goes on where it was."""
    cell = Cell(0.1, "npo", "full")
    plain, parted = planned(folder), planned(folder, *spread("inject.parallel", 2))
    unlearned = planned(folder, *spread("unlearn.parallel", 3))
    base, retained = plain.stages.base(), plain.stages.retained(1)
    taught = [p.stages.injected(1, 0.1) for p in (plain, parted)]
    trials = [p.stages.trial(cell, 1e-3, 1, "search") for p in (plain, unlearned)]
    assert [stage.workers for stage in (*taught, *trials)] == [0, 2, 0, 2]
    results = engine.run_tasks([base, retained, *taught, *trials])
    for alone, together in (taught, trials):
        one, two = results[alone.key], results[together.key]
        assert "failed" not in two, two
        assert set(one) == set(two)
        numbers = {name for name, value in one.items() if isinstance(value, float)}
        assert {name: two[name] for name in numbers} == pytest.approx(
            {name: one[name] for name in numbers}, abs=5e-3, nan_ok=True
        )
        steps = (folder / together.key).read_text().split()
        assert steps[:8] == list("01234545") and len(steps) > 8
        found = [engine.store.get(stage.key) for stage in (alone, together)]
        files = [{path.relative_to(f).as_posix() for path in f.rglob("*")} for f in found if f]
        assert len(files) == 2 and files[0] == files[1]


def test_a_failure_of_the_first_worker_ends_those_who_wait_for_it(engine: RayEngine) -> None:
    stage = Stage("toy", "cold", {"value": 1}, {}, {}, cpus=2, workers=2)
    begun = time.monotonic()
    result = engine.run_tasks([stage])[stage.key]
    assert result["failed"] == "temperature=-1 is not positive: choose one above 0"
    assert time.monotonic() - begun < 200
