"""`lacuna store ls|verify|gc` on a real folder and a real tracking database."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.stores import ROOT, files_below, flip, new_database, remove_file, writing

from sweeps.cli import main
from sweeps.stage import Stage
from sweeps.store.local import IDENTITY, LocalStorage
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.store.store import Store
from sweeps.store.upkeep import collect
from sweeps.tracking.client import connect


@dataclass
class House:
    """The output root of a study with two results."""

    artifacts: Path
    capsys: pytest.CaptureFixture[str]

    def store(self, **options: Any) -> Store[MlflowCoordinator]:
        storage = LocalStorage(self.artifacts / "checkpoints")
        coordinator = MlflowCoordinator(
            connect(f"sqlite:///{self.artifacts}/mlflow.db"), storage.identity()
        )
        return Store(storage, coordinator, **options)

    def said(self, *arguments: str) -> tuple[int, list[str], str]:
        self.capsys.readouterr()
        status = main(["store", *arguments, f"artifacts={self.artifacts}"])
        said = self.capsys.readouterr()
        return status, said.out.splitlines(), said.err

    def below(self) -> list[str]:
        return files_below(self.artifacts / "checkpoints")


BASE, CHILD = (Stage("toy", f"toy seed={n}", {"seed": n}, {}, {}) for n in (1, 2))


@pytest.fixture
def house(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> House:
    new_database(tmp_path / "mlflow.db")
    house = House(tmp_path, capsys)
    store = house.store()
    for stage in (BASE, CHILD):
        store.produce(stage, writing(stage.label), lambda: "run7")
    return house


def test_ls_shows_a_line_per_published_result_and_reads_no_file(house: House) -> None:
    folder = house.store().get(BASE.key)
    assert folder is not None
    flip(folder)
    status, lines, _ = house.said("ls")
    assert status == 0 and len(lines) == 2
    columns = lines[0].split("  ")
    assert columns[:4] == ["toy", BASE.label, BASE.key[:12], "1"] and columns[-1] == "run7"
    assert "kB" in columns[4] or "B" in columns[4]
    assert "0.0 h" in lines[0]
    assert folder.is_dir()  # damage is verify's business


def test_verify_names_every_damaged_file_and_the_next_study_rebuilds(house: House) -> None:
    assert house.said("verify")[:2] == (0, ["results read: 2, damaged: 0"])
    first, second = (house.store().get(stage.key) for stage in (BASE, CHILD))
    assert first is not None and second is not None
    flip(first)
    (first / "summary.json").unlink()
    status, lines, _ = house.said("verify")
    assert status == 1
    assert lines == [
        f"damaged: {first}/summary.json does not exist",
        f"damaged: {first}/weights/a.bin differs from its manifest (sha256)",
        "results read: 2, damaged: 1",
    ]
    assert not first.exists() and first.with_name(f"{first.name}.bad").is_dir()
    assert house.said("verify")[:2] == (0, ["results read: 1, damaged: 0"])
    ran: list[str] = []
    again = house.store().produce(BASE, writing("again", ran))
    assert ran == ["again"] and again.name == f"{BASE.key}.2"
    assert house.said("verify")[:2] == (0, ["results read: 2, damaged: 0"])


def test_verify_of_another_studys_records_withdraws_nothing(house: House, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").rename(tmp_path / "elsewhere")
    (tmp_path / "checkpoints").mkdir()
    status, _, error = house.said("verify")
    assert status == 2 and f"{tmp_path}/checkpoints is no store" in error
    (tmp_path / "checkpoints" / IDENTITY).write_bytes(
        (tmp_path / "elsewhere" / IDENTITY).read_bytes()
    )
    status, _, error = house.said("verify")
    assert status == 2 and "none of the 2 results on record lies below" in error
    assert len(house.store().coordinator.all_committed()) == 2


def kill_while_writing(house: House) -> None:
    """A process dies with half a result written."""
    code = f"""
import os
from pathlib import Path
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.cli import main
from sweeps.stage import Stage
from sweeps.store.local import LocalStorage
from sweeps.store.store import Store
from sweeps.store.upkeep import collect
from sweeps.tracking.client import connect
def work(inputs, out):
    (out / "half.bin").write_bytes(bytes(1000))
    os._exit(9)
storage = LocalStorage(Path("{house.artifacts}/checkpoints"))
client = connect("sqlite:///{house.artifacts}/mlflow.db")
store = Store(storage, MlflowCoordinator(client, storage.identity()))
store.produce(Stage("toy", "killed", {{}}, {{}}, {{}}), work)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 9


def test_gc_removes_what_no_study_can_use_and_only_when_told(house: House) -> None:
    keep = house.below()
    kill_while_writing(house)
    store = house.store()
    folder = store.get(CHILD.key)
    assert folder is not None
    remove_file(folder)
    house.said("verify")  # sets it aside
    unpublished = store.storage.writing(f"{BASE.key[:2]}/{BASE.key}.7")
    assert store.coordinator.claim(BASE.key, after=6) == 7
    store.coordinator.release(BASE.key, 7)
    with unpublished as part:
        (part / "a.bin").write_bytes(bytes(2000))
    before = house.below()
    assert house.said("gc")[1] == ["can go: 0, 0 B"]  # all younger than a day
    status, lines, _ = house.said("gc", "--hours", "0")
    assert status == 0 and lines[-1].startswith("can go: 3, ") and "add --delete" in lines[-1]
    assert sum("half-written" in line for line in lines) == 1
    assert sum("no commit record" in line for line in lines) == 1
    assert sum("set aside" in line for line in lines) == 1
    assert house.below() == before
    assert house.said("gc", "--hours=0", "--delete")[1][-1].startswith("removed: 3, ")
    assert house.below() == [name for name in keep if CHILD.key not in name]
    assert house.said("verify")[:2] == (0, ["results read: 1, damaged: 0"])


def test_gc_goes_by_the_newest_file_of_a_folder(house: House) -> None:
    part = house.artifacts / "checkpoints" / "aa" / f".{'a' * 64}.1.77.part"
    part.mkdir(parents=True)
    (part / "half.bin").write_bytes(bytes(1000))
    old = time.time() - 30 * 3600
    os.utime(part / "half.bin", (old, old))
    assert house.said("gc")[1][-1].startswith("can go: 0")
    os.utime(part, (old, old))
    assert house.said("gc")[1][-1].startswith("can go: 1, 1 kB")
    assert house.said("gc", "hours=31")[1][-1].startswith("can go: 0")


def test_gc_leaves_alone_what_a_living_holder_writes(house: House) -> None:
    entered, resume = threading.Event(), threading.Event()
    other = Stage("toy", "slow", {}, {}, {})

    def slow(inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
        (out / "half.bin").write_bytes(bytes(1000))
        entered.set()
        resume.wait(20)
        return {}

    said: list[str] = []
    with ThreadPoolExecutor() as pool:
        running = pool.submit(house.store(ttl=5.0, beat=0.1).produce, other, slow)
        entered.wait(20)
        try:
            collect(house.store(ttl=5.0), 0.0, True, said.append)
        finally:
            resume.set()
        assert running.result().is_dir()
    assert said[0].startswith("watching 1 holders") and said[1].endswith("kept: its holder lives")
    assert said[2] == "removed: 0, 0 B"


def test_gc_removes_what_a_silent_holder_left_and_keeps_what_it_does_not_know(
    house: House,
) -> None:
    store = house.store(ttl=0.3)
    unknown, silent = "a" * 64, "b" * 64
    for key in (unknown, silent):
        with store.storage.writing(f"{key[:2]}/{key}.1") as part:
            (part / "a.bin").write_bytes(bytes(1000))
    assert store.coordinator.claim(silent) == 1  # this process lives, but its heart does not beat
    said: list[str] = []
    collect(store, 0.0, True, said.append)
    assert "claimed in another tracking store" in said[1] and said[1].count("kept") == 1
    assert said[2].endswith("no commit record") and said[3] == "removed: 1, 1 kB"
    below = " ".join(house.below())
    assert f"aa/{unknown}.1/a.bin" in below and silent not in below


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "Missing command: see lacuna store --help"),
        ("verfy", "No such command 'verfy'. Did you mean 'verify'?"),
        ("ls delete=yes", "unknown key 'delete' of ls: choose one of artifacts, store"),
        ("ls --delete", "No such option: --delete"),
        ("gc artifact=here", "unknown key 'artifact' of gc: did you mean 'artifacts'?"),
        ("gc --hours -1", "'--hours': Input should be greater than or equal to 0"),
        ("gc --hours nan", "'--hours'"),
        ("gc hours=-1", "'--hours'"),
        ("gc now", "argument 'now' is not key=value"),
        ("ls artifacts=none", "none/checkpoints is no store: name the output root"),
        ("ls artifacts=bare", "bare/mlflow.db does not exist: name the study's tracking_uri="),
        ("ls artifacts=bare tracking_uri=here", "tracking_uri=here is not a database or a server"),
    ],
)
def test_bad_input_is_one_line_with_status_2_and_makes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare" / "checkpoints").mkdir(parents=True)
    (tmp_path / "bare" / "checkpoints" / IDENTITY).write_text("it")
    assert main(["store", *arguments.split()]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("error: ") and message in said.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "bare",
        "checkpoints",
        IDENTITY,
    ]


def test_the_older_spelling_is_the_same_command(house: House) -> None:
    kill_while_writing(house)
    command = [sys.executable, "-m", "sweeps.store"]
    place = f"artifacts={house.artifacts}"
    told = subprocess.run(
        [*command, "gc", place, "hours=0", "delete=true"], cwd=ROOT, capture_output=True, text=True
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.splitlines()[-1].startswith("removed: 1, ")
    wrong = subprocess.run([*command, "lst"], cwd=ROOT, capture_output=True, text=True)
    assert (wrong.returncode, wrong.stdout) == (2, "") and wrong.stderr.count("\n") == 1
