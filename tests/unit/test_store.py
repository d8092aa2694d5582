"""The store and its arbiters: one result per key, whole or absent, whatever dies on the way."""

import errno
import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lacuna.errors import UserError
from sweeps.arbiter import KeyArbiter
from sweeps.graph import Stage
from sweeps.lease import (
    Arbiter,
    ArbiterError,
    Commit,
    Lease,
    Watch,
    failed_in_a_row,
    holder,
    is_gone,
)
from sweeps.store import StageFailed, Store
from sweeps.tracking import absolute_uri, connect, prepare

ROOT = Path(__file__).resolve().parents[2]
STAGE = Stage("toy", "toy seed=1", {"lr": 0.1}, {}, {})
KEY = STAGE.key


class MemoryArbiter:
    """The arbiter's promises in a dictionary: same rules as the MLflow one, no server."""

    def __init__(self, who: str = "") -> None:
        self.claims: dict[tuple[str, int], Lease] = {}
        self.commits: dict[tuple[str, int], Commit] = {}
        self.withdrawn: dict[tuple[str, int], str] = {}
        self.lock, self.who = threading.Lock(), who or holder()
        self.away, self.session = False, "first"

    def leases(self, key: str) -> list[Lease]:
        return [lease for (name, _), lease in sorted(self.claims.items()) if name == key]

    def claim(self, key: str, after: int = 0) -> int | None:
        with self.lock:
            if (key, after + 1) in self.claims:
                return None
            claim = Lease(after + 1, "held", "0", self.who, session=self.session)
            self.claims[key, after + 1] = claim
            return after + 1

    def change(self, key: str, epoch: int, state: str, beat: str, reason: str = "") -> None:
        old = self.claims[key, epoch]
        self.claims[key, epoch] = replace(old, state=state, beat=beat, reason=reason)

    def heartbeat(self, key: str, epoch: int) -> None:
        if self.away:
            raise ArbiterError("the server is away")
        self.change(key, epoch, "held", str(time.monotonic_ns()))

    def release(self, key: str, epoch: int) -> None:
        if self.away:
            raise ArbiterError("the server is away")
        self.change(key, epoch, "released", "")

    def record_failure(self, key: str, epoch: int, reason: str) -> None:
        if self.away:
            raise ArbiterError("the server is away")
        self.change(key, epoch, "failed", "", reason)

    def commit(self, key: str, epoch: int, sha256: str, details: Mapping[str, str]) -> bool:
        if self.away:
            raise ArbiterError("the server is away")
        leases = self.leases(key)
        with self.lock:
            if not leases or leases[-1].epoch > epoch or self.committed(key):
                return False
            generation = 1 + sum(name == key for name, _ in self.commits)
            self.commits[key, generation] = Commit(epoch, sha256, generation, details)
            return True

    def committed(self, key: str) -> Commit | None:
        live = [c for (name, n), c in self.commits.items() if name == key]
        if not live or (key, live[-1].generation) in self.withdrawn:
            return None
        return live[-1]

    def committed_many(self, keys: list[str]) -> dict[str, Commit]:
        return {key: commit for key in keys if (commit := self.committed(key))}

    def withdraw(self, key: str, generation: int, reason: str) -> None:
        self.withdrawn[key, generation] = reason


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One SQLite tracking store for the module: to make its schema takes seconds."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    prepare(uri)
    return uri


@pytest.fixture(params=["memory", "mlflow"])
def arbiter(request: pytest.FixtureRequest) -> Iterator[Arbiter]:
    """Either arbiter, with no name in it."""
    if request.param == "memory":
        yield MemoryArbiter()
        return
    client = connect(request.getfixturevalue("database"))
    yield KeyArbiter(client)
    for model in client.search_registered_models(max_results=1000):
        client.delete_registered_model(model.name)


def writing(text: str, ran: list[str] | None = None) -> Callable[..., dict[str, Any]]:
    """Work that writes one small file and notes that it ran."""

    def work(inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
        (out / "weights").mkdir()
        (out / "weights" / "a.bin").write_text(text)
        if ran is not None:
            ran.append(text)
        return {"score": 0.5}

    return work


def files_below(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_a_result_is_computed_once_and_then_found(tmp_path: Path, arbiter: Arbiter) -> None:
    store, ran = Store(tmp_path, arbiter), list[str]()
    assert store.get(KEY) is None and store.published([KEY]) == set()
    folder = store.produce(STAGE, writing("x", ran), lambda: "run-7")
    assert folder == tmp_path / KEY[:2] / f"{KEY}.1"
    assert store.produce(STAGE, writing("y", ran)) == folder
    fresh = Store(tmp_path, arbiter)
    assert fresh.get_many([KEY, "0" * 64]) == {KEY: folder}
    assert fresh.published([KEY, "0" * 64]) == {KEY}
    assert fresh.summary(KEY) == {"score": 0.5}
    manifest = fresh.manifest(KEY) or {}
    assert manifest["label"] == "toy seed=1" and manifest["params"] == {"lr": 0.1}
    assert manifest["run_id"] == "run-7" and manifest["epoch"] == 1
    assert set(manifest["files"]) == {"weights/a.bin", "summary.json"}
    assert manifest["files"]["weights/a.bin"]["size"] == 1
    assert ran == ["x"]


def flip(folder: Path) -> str:
    path = folder / "weights" / "a.bin"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    return "a.bin differs from its manifest"


def truncate(folder: Path) -> str:
    (folder / "weights" / "a.bin").write_text("0")
    return "a.bin has 1 bytes instead of 5"


def edit_manifest(folder: Path) -> str:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "label": "another"}))
    return "manifest.json differs from its commit record"


def remove_manifest(folder: Path) -> str:
    (folder / "manifest.json").unlink()
    return "manifest.json does not exist"


def remove_file(folder: Path) -> str:
    (folder / "weights" / "a.bin").unlink()
    return "a.bin does not exist"


@pytest.mark.parametrize("damage", [flip, truncate, edit_manifest, remove_manifest, remove_file])
def test_a_damaged_result_is_named_set_aside_and_computed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], str]
) -> None:
    arbiter = MemoryArbiter()
    folder = Store(tmp_path, arbiter).produce(STAGE, writing("first"))
    problem = damage(folder)
    store = Store(tmp_path, arbiter)
    assert store.get(KEY) is None
    assert problem in caplog.text
    assert not folder.exists() and folder.with_name(f"{folder.name}.bad").is_dir()
    again = store.produce(STAGE, writing("second"))
    assert again.name == f"{KEY}.2" and (again / "weights" / "a.bin").read_text() == "second"
    assert Store(tmp_path, arbiter).get(KEY) == again


def test_a_withdrawn_commit_is_followed_by_a_new_one(tmp_path: Path, arbiter: Arbiter) -> None:
    folder = Store(tmp_path, arbiter).produce(STAGE, writing("first"))
    flip(folder)
    again = Store(tmp_path, arbiter).produce(STAGE, writing("second"))
    commit = arbiter.committed(KEY)
    assert commit is not None and (commit.generation, commit.epoch) == (2, 2)
    assert Store(tmp_path, arbiter).get_many([KEY]) == {KEY: again}


def test_a_folder_without_a_commit_record_is_no_result(tmp_path: Path) -> None:
    Store(tmp_path, MemoryArbiter()).produce(STAGE, writing("x"))
    other = MemoryArbiter()  # the database was lost; the folder is whole, but nobody vouches for it
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
    tmp_path: Path, arbiter: Arbiter, error: BaseException, reason: str
) -> None:
    def work(inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
        (out / "half.bin").write_bytes(bytes(1000))
        raise error

    store = Store(tmp_path, arbiter)
    with pytest.raises(type(error)) as caught:
        store.produce(STAGE, work)
    assert caught.value is error
    assert files_below(tmp_path) == [] and store.get(KEY) is None
    (lease,) = arbiter.leases(KEY)
    assert (lease.epoch, lease.state) == (1, "failed")
    assert lease.reason.startswith(reason)
    assert store.produce(STAGE, writing("x")).name == f"{KEY}.2"


def test_a_summary_that_is_not_json_is_a_failure_too(tmp_path: Path) -> None:
    arbiter = MemoryArbiter()
    with pytest.raises(ValueError, match="not JSON compliant"):
        Store(tmp_path, arbiter).produce(STAGE, lambda inputs, out: {"loss": float("nan")})
    assert files_below(tmp_path) == [] and arbiter.leases(KEY)[0].state == "failed"


def test_an_arbiter_that_goes_away_does_not_hide_the_works_own_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arbiter = MemoryArbiter()

    def work(inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
        arbiter.away = True
        time.sleep(0.05)  # heartbeats fail meanwhile
        raise RuntimeError("loss is not finite")

    with pytest.raises(RuntimeError, match="^loss is not finite$"):
        Store(tmp_path, arbiter, beat=0.01).produce(STAGE, work)
    assert "could not be recorded: the server is away" in caplog.text


def test_a_stage_gets_its_inputs_verified_folders(tmp_path: Path) -> None:
    store = Store(tmp_path, MemoryArbiter())
    parent = store.produce(STAGE, writing("x"))
    child = Stage("toy", "child", {}, {"base": KEY}, {})
    seen: list[Mapping[str, Path]] = []
    store.produce(child, lambda inputs, out: {"n": seen.append(inputs) or 1})
    assert seen == [{"base": parent}]
    orphan = Stage("toy", "orphan", {}, {"base": "f" * 64}, {})
    with pytest.raises(UserError, match=r"orphan: its input base \(ffffffffffff\) has no usable"):
        store.produce(orphan, writing("x"))


def test_a_waiter_takes_the_result_of_a_living_holder(tmp_path: Path, arbiter: Arbiter) -> None:
    inside, ran = threading.Event(), list[str]()

    def slow(inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
        inside.set()
        time.sleep(1.5)  # several times the time to live: only the heartbeat keeps the claim
        return writing("slow", ran)(inputs, out)

    with ThreadPoolExecutor() as pool:
        stores = [Store(tmp_path, arbiter, ttl=0.5, beat=0.05) for _ in range(2)]
        first = pool.submit(stores[0].produce, STAGE, slow)
        inside.wait()
        second = stores[1].produce(STAGE, writing("fast", ran))
    assert second == first.result() and ran == ["slow"]


def test_a_waiter_learns_that_the_holder_failed(tmp_path: Path) -> None:
    arbiter = MemoryArbiter()
    arbiter.claim(KEY)
    store = Store(tmp_path, arbiter, ttl=5.0)
    timer = threading.Timer(0.2, arbiter.record_failure, (KEY, 1, "Diverged: loss is nan"))
    timer.start()
    with pytest.raises(StageFailed, match="^Diverged: loss is nan$"):
        store.produce(STAGE, writing("x"))
    timer.join()


def failing(inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
    raise RuntimeError("out of memory")


def test_a_stage_that_failed_three_times_is_given_up_until_the_study_starts_again(
    tmp_path: Path, arbiter: Arbiter
) -> None:
    store, ran = Store(tmp_path, arbiter), list[str]()
    for _ in range(3):
        with pytest.raises(RuntimeError, match="^out of memory$"):
            store.produce(STAGE, failing)
    with pytest.raises(UserError) as caught:
        store.produce(STAGE, writing("x", ran))
    assert str(caught.value) == (
        f"toy seed=1 ({KEY[:12]}) is given up after 3 attempts in a row, the last: RuntimeError: "
        "out of memory; mend the cause and run the study again"
    )
    assert ran == [] and len(arbiter.leases(KEY)) == 3  # nothing was tried, nor claimed
    arbiter.session = "second"
    assert store.produce(STAGE, writing("x", ran)).name == f"{KEY}.4" and ran == ["x"]


def test_a_stage_whose_holders_died_is_given_up_with_what_is_known(tmp_path: Path) -> None:
    arbiter = MemoryArbiter(who=ended_process())
    for epoch in range(3):
        assert arbiter.claim(KEY, after=epoch)
    with pytest.raises(UserError, match="after 3 attempts in a row, the last: its process died"):
        Store(tmp_path, arbiter).produce(STAGE, writing("x"))
    assert Store(tmp_path, arbiter, attempts=4).produce(STAGE, writing("x")).name == f"{KEY}.4"


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


def test_a_stalled_holder_is_taken_over_and_loses(tmp_path: Path, arbiter: Arbiter) -> None:
    entered, resume, ran = threading.Event(), threading.Event(), list[str]()

    def stalled(inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
        entered.set()
        resume.wait(20)
        return writing("stalled", ran)(inputs, out)

    with ThreadPoolExecutor() as pool:
        silent = Store(tmp_path, arbiter, ttl=0.3, beat=1000.0)  # its heart never beats
        first = pool.submit(silent.produce, STAGE, stalled)
        entered.wait()
        winner = Store(tmp_path, arbiter, ttl=0.3, beat=0.05).produce(STAGE, writing("new", ran))
        assert winner.name == f"{KEY}.2"
        resume.set()
        assert first.result() == winner
    assert ran == ["new", "stalled"]  # it did finish, and its copy was thrown away
    assert files_below(tmp_path) == [
        f"{KEY[:2]}/{KEY}.2/{name}" for name in ("manifest.json", "summary.json", "weights/a.bin")
    ]


def test_a_stalled_holder_cannot_commit_even_before_its_successor(arbiter: Arbiter) -> None:
    assert arbiter.claim(KEY) == 1 and arbiter.claim(KEY) is None
    assert arbiter.claim(KEY, after=1) == 2
    assert not arbiter.commit(KEY, 1, "a" * 64, {})
    assert arbiter.commit(KEY, 2, "b" * 64, {}) and not arbiter.commit(KEY, 2, "c" * 64, {})
    commit = arbiter.committed(KEY)
    assert commit is not None and (commit.epoch, commit.sha256) == (2, "b" * 64)


def test_a_holder_is_dead_when_its_beat_stands_still_on_the_watchers_clock() -> None:
    seconds = [0.0]
    watch = Watch(60.0, now=lambda: seconds[0])
    lease = Lease(1, "held", "2001-01-01", "elsewhere 1 1")
    assert not watch.is_dead(lease)
    seconds[0] = 59.0
    assert not watch.is_dead(lease)
    assert not watch.is_dead(Lease(1, "held", "1999-01-01", "elsewhere 1 1"))  # it moved: alive
    seconds[0] = 119.0
    assert watch.is_dead(Lease(1, "held", "1999-01-01", "elsewhere 1 1"))


def ended_process() -> str:
    code = "from sweeps.lease import holder; print(holder())"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    return ended.stdout.strip()


def test_a_holder_that_ended_on_this_machine_is_known_at_once() -> None:
    assert is_gone(ended_process())
    assert not is_gone(holder()) and not is_gone("elsewhere 1 1") and not is_gone("")


def test_a_killed_holder_is_replaced_at_once_and_its_half_written_folder_removed(
    tmp_path: Path, database: str
) -> None:
    code = """
import os, sys
from pathlib import Path
from sweeps.arbiter import KeyArbiter
from sweeps.graph import Stage
from sweeps.store import Store
from sweeps.tracking import connect
def work(inputs, out):
    (out / "half.bin").write_bytes(bytes(1000))
    os._exit(9)
store = Store(Path(sys.argv[1]), KeyArbiter(connect(sys.argv[2])))
store.produce(Stage("killed", "killed", {}, {}, {}), work)
"""
    command = [sys.executable, "-c", code, str(tmp_path), database]
    assert subprocess.run(command, cwd=ROOT).returncode == 9
    assert [path.split("/")[-1] for path in files_below(tmp_path)] == ["half.bin"]
    start = time.monotonic()
    store = Store(tmp_path, KeyArbiter(connect(database)))  # its time to live is a minute
    folder = store.produce(Stage("killed", "killed", {}, {}, {}), writing("x"))
    assert time.monotonic() - start < 20
    assert folder.name.endswith(".2") and "half.bin" not in " ".join(files_below(tmp_path))


def test_sixteen_threads_claim_a_key_and_one_wins(arbiter: Arbiter) -> None:
    gate = threading.Barrier(16)

    def claim(_: int) -> int | None:
        gate.wait()
        return arbiter.claim(KEY)

    with ThreadPoolExecutor(16) as pool:
        claims = list(pool.map(claim, range(16)))
    assert sorted(claims, key=str) == [1] + [None] * 15


def test_four_processes_claim_and_commit_and_one_wins(database: str) -> None:
    code = """
import sys
from sweeps.arbiter import KeyArbiter
from sweeps.tracking import connect
arbiter = KeyArbiter(connect(sys.argv[1]))
arbiter.committed_many(["race"])  # opened, before all start together
print("ready", flush=True)
sys.stdin.readline()
epochs = [arbiter.claim(f"race{n}") for n in range(5)]
print(epochs, [arbiter.commit("race", epoch, str(epoch), {}) for epoch in [1]])
"""
    KeyArbiter(connect(database)).claim("race")
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
    arbiter = KeyArbiter(prepare(uri))
    arbiter.claim("model")
    assert arbiter.commit("model", 1, "model", {})
    keys = [f"{n:064x}" for n in range(2000)]
    with sqlite3.connect(tmp_path / "mlflow.db") as database:  # 2,000 copies of that record
        for key in keys:
            for table in ("registered_models", "registered_model_tags"):
                clone(database, table, "lacuna.commit.model.1", f"lacuna.commit.{key}.1")
    start = time.monotonic()
    found = arbiter.committed_many([*keys[:600], *keys[1000:], "e" * 64])
    assert time.monotonic() - start < 10.0
    assert set(found) == {*keys[:600], *keys[1000:]}
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
    with pytest.raises(UserError, match="cannot be used") as caught:
        prepare(f"sqlite:///{tmp_path}/m.db")
    assert "\n" not in str(caught.value)
