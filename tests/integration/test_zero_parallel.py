"""ZeRO over two processes (gloo, CPU) against one process without it; killed, and resumed."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import PATHS
from support.tiny import distance, tiny_model
from support.zero_group import Job, run, to_json
from transformers import AutoModelForCausalLM

from lacuna.train import ONE_DEVICE, Parallel

pytestmark = pytest.mark.slow
ZERO = [2, 3]
UNLEARNED: dict[str, dict[str, Any]] = {
    "npo": {"objective": "npo", "train": {"lr": 0.003, "accumulation": 2}},
    # a layer below the last, beside which nothing has a gradient, or decays
    "rmu": {
        "objective": "rmu",
        "settings": {"depth": 0.0},
        "train": {"weight_decay": 0.0, "checkpointing": True},
    },
    "dpo": {"objective": "dpo", "settings": {"retain": "kl"}, "train": {"lr": 0.003}},
    "match": {"objective": "match", "train": {"lr": 0.003}},
    "undial": {
        "objective": "undial",
        "settings": {"masking": "peer", "retain_weight": 1.0, "retain": "kl_peer"},
        "train": {"lr": 0.003},
    },
}
"""Objectives by what they ask: a reference, hidden states, refusals and the model as it was, the
retained model, padding."""


def start(jobs: list[Job], folder: Path) -> list["subprocess.Popen[str]"]:
    """Two processes, to whom no compiler can be found and who have no place to compile to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {
        "PATH": "/nonexistent",
        "PYTHONPATH": os.pathsep.join(PATHS),
        "HOME": str(folder),
        "TORCH_EXTENSIONS_DIR": str(folder / "extensions"),
        "OMP_NUM_THREADS": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    return [
        subprocess.Popen(
            [sys.executable, "-m", "support.zero_group", to_json(jobs)],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]


def finish(group: list["subprocess.Popen[str]"]) -> None:
    for process in group:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0 and said == "", said


def variants(folder: Path) -> dict[str, Job]:
    """What is trained by two processes, by name; each has a counterpart without ZeRO."""
    made: dict[str, dict[str, Any]] = {
        "plain": {},
        "tied": {"options": {"tie_word_embeddings": True}, "train": {"accumulation": 3}},
        "bfloat16": {"dtype": "bfloat16"},
        **UNLEARNED,
    }
    return {
        f"{name}-{zero}-{offload}": Job(
            str(folder / f"{name}-{zero}-{offload}"),
            Parallel(zero=zero, workers=2, offload=offload),
            **options,
        )
        for zero in ZERO
        for name, options in made.items()
        for offload in ((False, True) if name == "plain" else (False,))
    }


def diverging(folder: Path) -> list[Job]:
    """A rate no model survives; what follows in the same processes must not suffer."""
    return [
        Job(str(folder / f"bad-{z}"), Parallel(zero=z, workers=2), train={"lr": 1e30}) for z in ZERO
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zero")
    finish(start([*diverging(folder), *variants(folder).values()], folder))
    assert not (folder / "extensions").exists(), "something was compiled"
    return folder


def result(job: Job) -> tuple[Any, list[float], list[int]]:
    """The consolidated model, read back from its safetensors, its losses and the steps done."""
    files = {path.suffix for path in Path(job.out).iterdir()}
    assert files == {".json", ".safetensors"}
    model = AutoModelForCausalLM.from_pretrained(job.out, dtype="auto", use_safetensors=True)
    return model, *json.loads(Path(f"{job.out}.json").read_text())


@pytest.mark.parametrize("name", variants(Path()))
def test_two_processes_train_as_one_does_without_zero(trained: Path, name: str) -> None:
    job = variants(trained)[name]
    loaded, losses, steps = result(job)
    model, history, _ = run(replace(job, parallel=ONE_DEVICE))
    assert steps == list(range(20))
    if not job.objective:
        assert losses[-1] < losses[0] - 1
    assert distance(model, tiny_model(dtype=model.dtype, **job.options)) > 0.01
    tolerance = 1e-4 if job.dtype == "float32" else 0.05
    assert losses == pytest.approx(history.losses, abs=tolerance)
    assert distance(loaded, model) < tolerance
    assert loaded.dtype == model.dtype


def test_a_loss_that_is_not_finite_stops_all_processes_alike(trained: Path) -> None:
    for job in diverging(trained):
        said = [Path(f"{job.out}.{rank}.txt").read_text() for rank in range(2)]
        assert said[0] == said[1] and said[0].endswith("lower the learning rate")
        assert not Path(job.out).exists()


def test_a_killed_group_resumes_to_the_same_weights(trained: Path, tmp_path: Path) -> None:
    names = *(f"bfloat16-{zero}-False" for zero in ZERO), "dpo-3-False"
    wholes = [variants(trained)[name] for name in names]
    jobs = [
        replace(whole, out=str(tmp_path / f"{n}"), resume=str(tmp_path / f"steps-{n}"))
        for n, whole in enumerate(wholes)
    ]
    groups = [start([replace(job, dies_at=11)], tmp_path) for job in jobs]
    for group, job in zip(groups, jobs, strict=True):
        assert [process.wait(300) for process in group] == [-signal.SIGKILL, 1]
        kept = sorted(str(path.relative_to(job.resume)) for path in Path(job.resume).rglob("*.*"))
        assert kept == [f"step-8/rank-{rank}.safetensors" for rank in range(2)]
    finish(start(jobs, tmp_path))
    for job, whole in zip(jobs, wholes, strict=True):
        (model, losses, steps), (expected, wanted, _) = result(job), result(whole)
        assert steps == list(range(8, 20)), "only what was lost is done again"
        assert losses == pytest.approx(wanted, abs=1e-6)
        assert distance(model, expected) < 1e-6
