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

from lacuna.errors import UserError
from lacuna.train import leads
from sweeps import stages
from sweeps.configure import configure
from sweeps.engine import Engine
from sweeps.graph import Stage
from sweeps.plan import make_planner
from sweeps.runs import Tracker
from sweeps.shelf import scratch_of

HERE = Path(__file__).resolve().parent
MARKS = "TEST_GANG_MARKS"
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
        if leads():
            raise UserError("temperature=-1 is not positive: choose one above 0")
        torch.distributed.barrier()  # nobody will come

    def step(number: int, values: Mapping[str, float]) -> None:
        on_step(number, values)
        with mark.open("a") as stream:
            stream.write(f"{number} ")
        if stage.workers and number == 5 and mark.read_text().count("5 ") == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    return stages.execute(stage, inputs, out, step)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gang")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
        patch.setenv(MARKS, str(folder))
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        tracker = Tracker(f"sqlite:///{folder}/mlflow.db", "gang", folder / "mlruns")
        tracker.begin({})
        settings = {"cpus": 2, "work": "test_gang.work", "ttl": 15.0, "beat": 1.0}
        places = folder / "checkpoints", folder / "tune"
        with Engine(tracker, *places, stream=io.StringIO(), **settings) as engine:
            yield engine


def retained(folder: Path, zero: int) -> tuple[Stage, Stage]:
    """A small base model, and the retained model on one device or two workers."""
    options = [f"retained.recipe.parallel.{o}" for o in (f"zero={zero}", "workers=2")]
    planner = make_planner(
        configure(
            [
                "study=smoke",
                f"artifacts={folder}",
                "model.pretrain.steps=4",
                "retained.recipe.train.steps=8",
                "retained.recipe.train.save_every=2",
                *(options if zero else []),
            ]
        )
    )
    return planner.base(), planner.retained(0)


def test_two_workers_of_which_one_is_killed_train_as_one_process_does(
    engine: Engine, folder: Path
) -> None:
    base, alone = retained(folder, 0)
    same, together = retained(folder, 3)
    assert base.key == same.key and alone.key != together.key and together.workers == 2
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


def test_a_failure_of_the_first_worker_ends_those_who_wait_for_it(engine: Engine) -> None:
    stage = Stage("toy", "cold", {"value": 1}, {}, {}, cpus=2, workers=2)
    begun = time.monotonic()
    result = engine.run_tasks([stage])[stage.key]
    assert result["failed"] == "temperature=-1 is not positive: choose one above 0"
    assert time.monotonic() - begun < 200
