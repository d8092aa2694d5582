"""The store: one result per key, whole or absent, whatever dies on the way."""

import errno
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.stores import (
    KEY,
    ROOT,
    STAGE,
    MemoryCoordinator,
    ended_process,
    failing,
    files_below,
    writing,
)

from lacuna.errors import UserError
from sweeps.errors import StageFailed
from sweeps.stage import Stage
from sweeps.store.lease import Coordinator
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.store.store import Store
from sweeps.tracking.client import connect


def test_a_result_is_computed_once_and_then_found(tmp_path: Path, coordinator: Coordinator) -> None:
    store, ran = Store(tmp_path, coordinator), list[str]()
    assert store.get(KEY) is None and store.published([KEY]) == set()
    folder = store.produce(STAGE, writing("x", ran), lambda: "run-7")
    assert folder == tmp_path / KEY[:2] / f"{KEY}.1"
    assert store.produce(STAGE, writing("y", ran)) == folder
    fresh = Store(tmp_path, coordinator)
    assert fresh.summaries([KEY, "0" * 64]) == {KEY: {"score": 0.5}}
    assert fresh.published([KEY, "0" * 64]) == {KEY}
    assert fresh.summary(KEY) == {"score": 0.5}
    manifest = fresh.manifest(KEY) or {}
    assert manifest["label"] == "toy seed=1" and manifest["params"] == {"lr": 0.1}
    assert manifest["run_id"] == "run-7" and manifest["epoch"] == 1
    assert set(manifest["files"]) == {"weights/a.bin", "summary.json"}
    assert manifest["files"]["weights/a.bin"]["size"] == 1
    assert ran == ["x"]


def test_a_folder_without_a_commit_record_is_no_result(tmp_path: Path) -> None:
    Store(tmp_path, MemoryCoordinator()).produce(STAGE, writing("x"))
    other = (
        MemoryCoordinator()
    )  # the database was lost; the folder is whole, but nobody vouches for it
    assert Store(tmp_path, other).get(KEY) is None
    again = Store(tmp_path, other).produce(STAGE, writing("y"))
    assert again.name == f"{KEY}.2" and (tmp_path / KEY[:2] / f"{KEY}.1").is_dir()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UserError("lr=-1 is negative: choose one above 0"), "lr=-1 is negative: choose one above"),
        (OSError(errno.ENOSPC, "No space left on device"), "OSError: [Errno 28] No space left"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_a_failure_leaves_no_file_passes_on_and_may_be_tried_again(
    tmp_path: Path, coordinator: Coordinator, error: BaseException, reason: str
) -> None:
    def work(inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
        (out / "half.bin").write_bytes(bytes(1000))
        raise error

    store = Store(tmp_path, coordinator)
    with pytest.raises(type(error)) as caught:
        store.produce(STAGE, work)
    assert caught.value is error
    assert files_below(tmp_path) == [] and store.get(KEY) is None
    (lease,) = coordinator.leases(KEY)
    assert (lease.epoch, lease.state) == (1, "failed")
    assert lease.reason.startswith(reason)
    assert store.produce(STAGE, writing("x")).name == f"{KEY}.2"


def test_a_summary_that_is_not_json_is_a_failure_too(tmp_path: Path) -> None:
    coordinator = MemoryCoordinator()
    with pytest.raises(ValueError, match="not JSON compliant"):
        Store(tmp_path, coordinator).produce(STAGE, lambda inputs, out: {"loss": float("nan")})
    assert files_below(tmp_path) == [] and coordinator.leases(KEY)[0].state == "failed"


def test_a_coordinator_that_goes_away_does_not_hide_the_works_own_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    coordinator = MemoryCoordinator()

    def work(inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
        coordinator.away = True
        time.sleep(0.05)  # heartbeats fail meanwhile
        raise RuntimeError("loss is not finite")

    with pytest.raises(RuntimeError, match="^loss is not finite$"):
        Store(tmp_path, coordinator, beat=0.01).produce(STAGE, work)
    assert "could not be recorded: the server is away" in caplog.text


def test_a_stage_gets_its_inputs_verified_folders(tmp_path: Path) -> None:
    store = Store(tmp_path, MemoryCoordinator())
    parent = store.produce(STAGE, writing("x"))
    child = Stage("toy", "child", {}, {"base": KEY}, {})
    seen: list[Mapping[str, Path]] = []
    store.produce(child, lambda inputs, out: {"n": seen.append(inputs) or 1})
    assert seen == [{"base": parent}]
    orphan = Stage("toy", "orphan", {}, {"base": "f" * 64}, {})
    with pytest.raises(UserError, match=r"orphan: its input base \(ffffffffffff\) is not in the"):
        store.produce(orphan, writing("x"))


def test_a_waiter_takes_the_result_of_a_living_holder(
    tmp_path: Path, coordinator: Coordinator
) -> None:
    inside, ran = threading.Event(), list[str]()

    def slow(inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
        inside.set()
        time.sleep(1.5)  # several times the time to live: only the heartbeat keeps the claim
        return writing("slow", ran)(inputs, out)

    with ThreadPoolExecutor() as pool:
        stores = [Store(tmp_path, coordinator, ttl=0.5, beat=0.05) for _ in range(2)]
        first = pool.submit(stores[0].produce, STAGE, slow)
        inside.wait()
        second = stores[1].produce(STAGE, writing("fast", ran))
    assert second == first.result() and ran == ["slow"]


def test_a_waiter_learns_that_the_holder_failed(tmp_path: Path) -> None:
    coordinator = MemoryCoordinator()
    coordinator.claim(KEY)
    store = Store(tmp_path, coordinator, ttl=5.0)
    timer = threading.Timer(0.2, coordinator.record_failure, (KEY, 1, "Diverged: loss is nan"))
    timer.start()
    with pytest.raises(StageFailed, match="^Diverged: loss is nan$"):
        store.produce(STAGE, writing("x"))
    timer.join()


def test_a_stage_that_failed_three_times_is_given_up_until_the_study_starts_again(
    tmp_path: Path, coordinator: Coordinator
) -> None:
    store, ran = Store(tmp_path, coordinator), list[str]()
    for _ in range(3):
        with pytest.raises(RuntimeError, match="^out of memory$"):
            store.produce(STAGE, failing)
    with pytest.raises(UserError) as caught:
        store.produce(STAGE, writing("x", ran))
    assert str(caught.value) == (
        f"toy seed=1 ({KEY[:12]}) is given up after 3 attempts in a row, the last: RuntimeError: "
        "out of memory; mend the cause and run the study again"
    )
    assert ran == [] and len(coordinator.leases(KEY)) == 3  # nothing was tried, nor claimed
    coordinator.session = "second"
    assert store.produce(STAGE, writing("x", ran)).name == f"{KEY}.4" and ran == ["x"]


def test_a_stage_whose_holders_died_is_given_up_with_what_is_known(tmp_path: Path) -> None:
    coordinator = MemoryCoordinator(who=ended_process())
    for epoch in range(3):
        assert coordinator.claim(KEY, after=epoch)
        (tmp_path / KEY[:2] / f".{KEY}.{epoch + 1}.77.part").mkdir(parents=True)
    with pytest.raises(UserError, match="after 3 attempts in a row, the last: its process died"):
        Store(tmp_path, coordinator).produce(STAGE, writing("x"))
    assert list(tmp_path.glob("*/*")) == []
    assert Store(tmp_path, coordinator, attempts=4).produce(STAGE, writing("x")).name == f"{KEY}.4"


def test_a_stalled_holder_is_taken_over_and_loses(tmp_path: Path, coordinator: Coordinator) -> None:
    entered, resume, ran = threading.Event(), threading.Event(), list[str]()

    def stalled(inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
        entered.set()
        resume.wait(20)
        return writing("stalled", ran)(inputs, out)

    with ThreadPoolExecutor() as pool:
        silent = Store(tmp_path, coordinator, ttl=0.3, beat=1000.0)  # its heart never beats
        first = pool.submit(silent.produce, STAGE, stalled)
        entered.wait()
        winner = Store(tmp_path, coordinator, ttl=0.3, beat=0.05).produce(
            STAGE, writing("new", ran)
        )
        assert winner.name == f"{KEY}.2"
        resume.set()
        assert first.result() == winner
    assert ran == ["new", "stalled"]  # it did finish, and its copy was thrown away
    assert files_below(tmp_path) == [
        f"{KEY[:2]}/{KEY}.2/{name}" for name in ("manifest.json", "summary.json", "weights/a.bin")
    ]


def test_a_killed_holder_is_replaced_at_once_and_its_half_written_folder_removed(
    tmp_path: Path, database: str
) -> None:
    code = """
import os, sys
from pathlib import Path
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.stage import Stage
from sweeps.store.store import Store
from sweeps.tracking.client import connect
def work(inputs, out):
    (out / "half.bin").write_bytes(bytes(1000))
    os._exit(9)
store = Store(Path(sys.argv[1]), MlflowCoordinator(connect(sys.argv[2])))
store.produce(Stage("killed", "killed", {}, {}, {}), work)
"""
    command = [sys.executable, "-c", code, str(tmp_path), database]
    assert subprocess.run(command, cwd=ROOT).returncode == 9
    assert [path.split("/")[-1] for path in files_below(tmp_path)] == ["half.bin"]
    start = time.monotonic()
    store = Store(tmp_path, MlflowCoordinator(connect(database)))  # its time to live is a minute
    folder = store.produce(Stage("killed", "killed", {}, {}, {}), writing("x"))
    assert time.monotonic() - start < 20
    assert folder.name.endswith(".2") and "half.bin" not in " ".join(files_below(tmp_path))
