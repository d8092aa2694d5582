"""Stored bytes that changed: found, named, set aside, rebuilt, and never used."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.stores import KEY, STAGE, MemoryCoordinator, new_database, writing

from sweeps.engine.worker import Runtime, attempt, pack
from sweeps.stage import Stage
from sweeps.store.lease import Coordinator
from sweeps.store.store import Store
from sweeps.tracking.client import RunLocation

WEIGHTS = "model.safetensors"
CHILD = Stage("toy", "child", {}, {"base": KEY}, {})


def training(inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
    """A checkpoint whose last tensor is read from its input, if it has one."""
    weights = {"a": torch.arange(1000.0), "b": torch.ones(10)}
    for folder in inputs.values():
        weights["b"] = load_file(folder / WEIGHTS)["a"][:10] + 1
    save_file(weights, out / WEIGHTS)
    return {"b": weights["b"].tolist()}


def execute(stage: Stage, inputs: Mapping[str, Path], out: Path, on_step: object) -> dict[str, Any]:
    """The same for a worker."""
    return training(inputs, out)


def flip(folder: Path) -> str:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[len(data) // 2] ^= 1  # one bit of one weight: the file still loads
    (folder / WEIGHTS).write_bytes(data)
    assert load_file(folder / WEIGHTS)["b"].shape == (10,)
    return f"{WEIGHTS} differs from its manifest (sha256)"


def truncate(folder: Path) -> str:
    size = (folder / WEIGHTS).stat().st_size
    with (folder / WEIGHTS).open("r+b") as stream:
        stream.truncate(size - 1)
    return f"{WEIGHTS} has {size - 1} bytes instead of {size}"


def edit_manifest(folder: Path) -> str:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "label": "another"}))
    return "manifest.json differs from its commit record"


def remove_manifest(folder: Path) -> str:
    (folder / "manifest.json").unlink()
    return "manifest.json does not exist"


def remove_file(folder: Path) -> str:
    (folder / WEIGHTS).unlink()
    return f"{WEIGHTS} does not exist"


def get(store: Store[Coordinator]) -> object:
    return store.get(KEY)


def plan(store: Store[Coordinator]) -> object:
    return store.summaries([KEY]).get(KEY)


def summary(store: Store[Coordinator]) -> object:
    return store.summary(KEY)


DAMAGE = [flip, truncate, edit_manifest, remove_manifest, remove_file]


@pytest.mark.parametrize("look", [get, plan, summary])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_result_is_named_set_aside_and_computed_again(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], str],
    look: Callable[[Store[Coordinator]], object],
) -> None:
    coordinator = MemoryCoordinator()
    folder = Store(tmp_path, coordinator).produce(STAGE, training)
    whole = (folder / WEIGHTS).read_bytes()
    problem = damage(folder)
    store = Store(tmp_path, coordinator)
    assert look(store) is None
    assert f"{folder}/{problem}" in caplog.text
    assert not folder.exists() and folder.with_name(f"{folder.name}.bad").is_dir()
    assert store.published([KEY]) == set()
    again = store.produce(STAGE, training)
    assert again.name == f"{KEY}.2" and (again / WEIGHTS).read_bytes() == whole
    assert Store(tmp_path, coordinator).get(KEY) == again


def test_all_damaged_files_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    coordinator = MemoryCoordinator()
    folder = Store(tmp_path, coordinator).produce(STAGE, training)
    problem = truncate(folder)
    (folder / "summary.json").unlink()
    assert Store(tmp_path, coordinator).get(KEY) is None
    assert f"{folder}/{problem}; summary.json does not exist" in caplog.text


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_worker_names_a_damaged_input_and_the_next_study_rebuilds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], str]
) -> None:
    uri = new_database(tmp_path / "mlflow.db")
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)

    def runtime(session: str) -> Runtime:
        """Of one start of the study; a session of its own is a process of its own."""
        place = RunLocation(uri, "toys", "0")
        work = "test_store_damage.execute"
        return Runtime(place, str(tmp_path / "checkpoints"), work, session=session)

    assert attempt(runtime("one"), pack(STAGE)) == {"how": "trained", "reason": ""}
    (folder,) = (tmp_path / "checkpoints").glob(f"*/{KEY}.1")
    problem = damage(folder)
    outcome = attempt(runtime("two"), pack(CHILD))
    assert outcome["how"] == "failed"
    assert outcome["reason"] == (
        f"child: its input base ({KEY[:12]}) was damaged and set aside ({folder}/{problem}): "
        "run the study again to rebuild it"
    )
    assert attempt(runtime("three"), pack(STAGE))["how"] == "trained"
    assert attempt(runtime("three"), pack(CHILD))["how"] == "trained"
    (child,) = (tmp_path / "checkpoints").glob(f"*/{CHILD.key}.*")
    assert load_file(child / WEIGHTS)["b"].tolist() == [float(n) + 1 for n in range(10)]


def test_a_withdrawn_commit_is_followed_by_a_new_one(
    tmp_path: Path, coordinator: Coordinator
) -> None:
    folder = Store(tmp_path, coordinator).produce(STAGE, writing("first"))
    remove_manifest(folder)
    again = Store(tmp_path, coordinator).produce(STAGE, writing("second"))
    commit = coordinator.committed(KEY)
    assert commit is not None and (commit.generation, commit.epoch) == (2, 2)
    assert Store(tmp_path, coordinator).get(KEY) == again
