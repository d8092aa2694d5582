"""The coordinator: names decide between threads, processes and hosts, and who counts as dead."""

import json
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.stores import (
    KEY,
    ROOT,
    STAGE,
    ended_process,
    writing,
)

from lacuna.errors import UserError
from sweeps.process import holder, is_gone
from sweeps.store.lease import Coordinator, Lease, Liveness, failed_in_a_row
from sweeps.store.local import IDENTITY, LocalStorage
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.store.store import Store
from sweeps.tracking.client import absolute_uri, connect, prepare


def test_a_stalled_holder_cannot_commit_even_before_its_successor(coordinator: Coordinator) -> None:
    assert coordinator.claim(KEY) == 1 and coordinator.claim(KEY) is None
    assert coordinator.claim(KEY, after=1) == 2
    assert not coordinator.commit(KEY, 1, "a" * 64, {})
    assert coordinator.commit(KEY, 2, "b" * 64, {}) and not coordinator.commit(KEY, 2, "c" * 64, {})
    commit = coordinator.committed(KEY)
    assert commit is not None and (commit.epoch, commit.sha256) == (2, "b" * 64)


def test_only_failures_since_the_last_success_and_our_first_attempt_count() -> None:
    def row(*leases: str) -> list[int]:
        """Epochs that count for session b; `a!`: a's attempt failed, `b`: b's ended well."""
        states = {True: "failed", False: "released"}
        named = [
            Lease(n, states["!" in text], "", "", "", text[0]) for n, text in enumerate(leases, 1)
        ]
        return [lease.epoch for lease in failed_in_a_row(named, "b")]

    assert row() == [] and row("a!", "a!", "a!") == []
    assert row("a!", "b!", "a!", "b!") == [2, 3, 4]  # two studies at once: their attempts add up
    assert row("b!", "b!", "b", "b!") == [4]
    assert row("b!", "b!", "a") == []


def test_a_holder_is_dead_when_its_beat_stands_still_on_the_watchers_clock() -> None:
    seconds = [0.0]
    watch = Liveness(60.0, now=lambda: seconds[0])
    lease = Lease(1, "held", "2001-01-01", "elsewhere 1 1")
    assert not watch.is_dead(lease)
    seconds[0] = 59.0
    assert not watch.is_dead(lease)
    assert not watch.is_dead(Lease(1, "held", "1999-01-01", "elsewhere 1 1"))  # it moved: alive
    seconds[0] = 119.0
    assert watch.is_dead(Lease(1, "held", "1999-01-01", "elsewhere 1 1"))


def test_a_holder_that_ended_on_this_machine_is_known_at_once() -> None:
    assert is_gone(ended_process())
    assert not is_gone(holder()) and not is_gone("elsewhere 1 1") and not is_gone("")


def test_sixteen_threads_claim_a_key_and_one_wins(coordinator: Coordinator) -> None:
    gate = threading.Barrier(16)

    def claim(_: int) -> int | None:
        gate.wait()
        return coordinator.claim(KEY)

    with ThreadPoolExecutor(16) as pool:
        claims = list(pool.map(claim, range(16)))
    assert sorted(claims, key=str) == [1] + [None] * 15


def test_four_processes_claim_and_commit_and_one_wins(database: str) -> None:
    code = """
import sys
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.tracking.client import connect
coordinator = MlflowCoordinator(connect(sys.argv[1]))
coordinator.all_committed()  # opened, before all start together
print("ready", flush=True)
sys.stdin.readline()
epochs = [coordinator.claim(f"race{n}") for n in range(5)]
print(epochs, [coordinator.commit("race", epoch, str(epoch), {}) for epoch in [1]])
"""
    MlflowCoordinator(connect(database)).claim("race")
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", code, database]
    processes = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0] for process in processes]
    epochs = [json.loads(a.partition("] [")[0].replace("None", "null") + "]") for a in answers]
    for claims in zip(*epochs, strict=True):
        assert sorted(claims, key=str) == [1, None, None, None]
    assert sum("[True]" in answer for answer in answers) == 1


def test_two_thousand_records_are_found_in_one_look_up(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    coordinator = MlflowCoordinator(prepare(uri))
    coordinator.claim("model")
    assert coordinator.commit("model", 1, "model", {})
    keys = [f"{n:064x}" for n in range(2000)]
    with sqlite3.connect(tmp_path / "mlflow.db") as database:  # 2,000 copies of that record
        for key in keys:
            for table in ("registered_models", "registered_model_tags"):
                clone(
                    database, table, "lacuna.commit.store.model.1", f"lacuna.commit.store.{key}.1"
                )
    start = time.monotonic()
    found = coordinator.all_committed()
    assert time.monotonic() - start < 10.0
    assert set(found) == {*keys, "model"}
    assert (found[keys[5]].sha256, found[keys[5]].epoch) == ("model", 1)


def clone(database: sqlite3.Connection, table: str, old: str, new: str) -> None:
    """Copy a table's rows of one registered model to another name."""
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    values = ", ".join("?" if column == "name" else column for column in columns)
    query = f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} WHERE name=?"
    database.execute(query, (new, old))


def test_a_tracking_uri_means_the_same_everywhere_or_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_uri("sqlite:///m.db") == f"sqlite:///{tmp_path}/m.db"
    assert absolute_uri(f"sqlite:///{tmp_path}/m.db") == f"sqlite:///{tmp_path}/m.db"
    assert absolute_uri("http://host:5000") == "http://host:5000"
    for bad in ("./mlruns", "file:///tmp/mlruns"):
        with pytest.raises(UserError, match="is not a database or a server"):
            absolute_uri(bad)


def test_a_broken_tracking_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "m.db").write_text("this is no database" * 100)
    with pytest.raises(UserError, match="is damaged .* restore a copy") as caught:
        prepare(f"sqlite:///{tmp_path}/m.db")
    assert "\n" not in str(caught.value)


def test_two_stores_on_one_server_do_not_see_each_other(database: str, tmp_path: Path) -> None:
    storages = [LocalStorage(tmp_path / name) for name in ("one", "other")]
    stores = [
        Store(storage, MlflowCoordinator(connect(database), storage.identity()))
        for storage in storages
    ]
    folders = [store.produce(STAGE, writing("same")) for store in stores]
    assert [folder.parents[1].name for folder in folders] == ["one", "other"]
    (folders[1] / "weights" / "a.bin").write_text("spoilt")
    fresh = Store(LocalStorage(tmp_path / "other"), stores[1].coordinator)
    assert fresh.get(STAGE.key) is None  # withdrawn, and only there
    assert stores[0].coordinator.committed(STAGE.key) is not None


def test_a_store_keeps_its_identity_where_it_is_moved_and_makes_none_unasked(
    tmp_path: Path,
) -> None:
    assert LocalStorage(tmp_path / "new").identity(make=False) == ""
    assert not (tmp_path / "new").exists()
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: LocalStorage(tmp_path / "old").identity(), range(32)))
    (tmp_path / "old").rename(tmp_path / "moved")
    assert found == {LocalStorage(tmp_path / "moved").identity(make=False)}
    assert [path.name for path in (tmp_path / "moved").iterdir()] == [IDENTITY]
