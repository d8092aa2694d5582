"""The benchmarks of the sweep: what they take, and that they notice what they hunt."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import faults, sweep
from benchmarks._report import Part, against, median
from benchmarks._toys import executions, toy, work
from lacuna.artifacts import write_json


def refused(module: Any, words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["benchmark", *words])
    with pytest.raises(SystemExit) as stopped:
        module.main()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (sweep, ["--rounds", "0"]),
        (sweep, ["--parts", "contention,oops"]),
        (faults, ["--kills", "-1"]),
        (faults, ["--targets", "head"]),
    ],
)
def test_bad_options_are_refused(
    module: Any,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert refused(module, words, monkeypatch) == 2
    assert words[0] in capsys.readouterr().err


def test_a_table_shows_every_broken_promise() -> None:
    part = Part("(x) title", violations=["two results"])
    part.add("short", 1)
    part.add("longer name", "2 s")
    assert part.text().splitlines() == [
        "(x) title",
        "short        1",
        "longer name  2 s",
        "BROKEN: two results",
    ]
    assert median([0.1, 0.3, 0.2], 1000, "ms") == "200 (300) ms"
    assert against(0.1, 0.15) == "within 0.15 s" and against(0.2, 0.15) == "MISSED 0.15 s"


def test_toys_add_up_and_leave_a_mark_that_is_no_part_of_their_key(tmp_path: Path) -> None:
    parent = toy("injected", 100)
    child = toy("trial", 7, tmp_path, [parent], seconds=0.01)
    assert child.key == toy("trial", 7, None, [parent]).key != toy("trial", 7).key
    write_json(tmp_path / "in" / "summary.json", {"value": 100})
    steps: list[int] = []
    said = work(child, {"input0": tmp_path / "in"}, tmp_path, lambda step, _: steps.append(step))
    assert said == {"value": 107} and steps == [1]
    assert [place["pid"] for place in executions(tmp_path, child.key)] == [os.getpid()]


def test_tables_of_a_study_are_compared_byte_by_byte(tmp_path: Path) -> None:
    study = faults.Study(tmp_path, [])
    folder = study.artifacts / "smoke"
    (folder / "tables").mkdir(parents=True)
    (folder / "tables" / "main.csv").write_text("a,1\n")
    (folder / "verdict.json").write_text("{}")
    (folder / "manifest.json").write_text("times and dates")
    assert study.tables() == {"tables/main.csv": b"a,1\n", "verdict.json": b"{}"}


def sleeping_study(folder: Path) -> faults.Study:
    """A stand-in for a driver: it has a child named like a raylet, and one named like a worker."""
    (folder / "raylet").symlink_to(sys.executable)
    child = "import subprocess as s, time; s.Popen(['sleep', '60']); time.sleep(60)"
    names = [str(folder / "raylet"), "ray::attempt"]
    code = f"""
import subprocess, time
for name in {names!r}:
    subprocess.Popen([name, '-c', {child!r}], executable={sys.executable!r})
time.sleep(60)
"""
    study = faults.Study(folder, [])
    study.process = subprocess.Popen([sys.executable, "-c", code])
    return study


def test_each_target_is_found_and_killed_and_nothing_is_left_behind(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    with sleeping_study(tmp_path) as study:
        for _ in range(100):
            assert study.ended() is None
            if len(study.family) == 4:
                break
            time.sleep(0.1)
        raylet, worker = (
            next(p for p in study.family if word in " ".join(p.cmdline()))
            for word in ("/raylet", "ray::attempt")
        )
        assert faults.kill_worker(study, chance) and not gone(raylet) and gone(worker)
        assert study.ended() is None
        assert not faults.kill_worker(study, chance)
        assert faults.kill_raylet(study, chance) and gone(raylet)
        assert faults.kill_driver(study, chance) and study.wait(5.0) == -9
        assert study.orphans(patience=0.1) > 0  # the sleeping grandchildren
    assert all(gone(process) for process in study.family)


def gone(process: Any) -> bool:
    """Ended, if not yet reaped by its parent."""
    for _ in range(50):
        if not process.is_running() or process.status() == "zombie":
            return True
        time.sleep(0.02)
    return False
