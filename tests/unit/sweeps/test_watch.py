"""What a driver leaves that is killed, and what is said of it: by a process that outlives it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweeps.errors import TERMINATED, exit_status
from sweeps.process import holder
from sweeps.watch import MARK, Watch, mark, processes, sweep_up

DRIVER = """
import subprocess, sys, time
from pathlib import Path
from sweeps.watch import Watch
folder = Path(sys.argv[1])
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(folder)])
watch = Watch(folder)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ray-x").mkdir()
    return tmp_path / "ray-x"


def test_a_killed_driver_is_spoken_for_and_cleaned_up_after(folder: Path) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
    )
    assert driver.stdout is not None and driver.stderr is not None
    assert driver.stdout.readline() == b"ready\n"
    started = processes(folder)
    assert any("time.sleep(60)" in line for line in started.values())
    os.killpg(driver.pid, signal.SIGKILL)
    said = driver.stderr.read().decode()  # ends with the last process that holds it
    assert said.count("\n") == 1 and said.startswith("ended: ")
    assert said.endswith("the same command continues where this one was\n")
    driver.wait()
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not folder.exists() and processes(folder) == {}


def test_a_driver_that_ends_as_it_should_is_not_spoken_for(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Watch(folder).end()
    assert capfd.readouterr().err == "" and folder.is_dir()


def test_folders_of_dead_drivers_are_swept_up_and_no_others(tmp_path: Path) -> None:
    kept = [tmp_path / f"ray-{name}" for name in ("mine", "foreign", "elsewhere", "spoilt")]
    for path in (dead := tmp_path / "ray-dead", *kept):
        path.mkdir()
    machine, pid, born = holder().split()
    (dead / MARK).write_text(f"{machine} {pid} {int(born) - 1}")  # the pid is used again
    mark(kept[0])
    (kept[2] / MARK).write_text(f"another-{machine} {pid} {int(born) - 1}")
    (kept[3] / MARK).write_bytes(b"\xff no process")
    sweep_up(tmp_path)
    assert not dead.exists() and all(path.is_dir() for path in kept)


@pytest.mark.parametrize("code", [143, 1, 15])
def test_sigterm_is_a_status_and_a_line(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(lambda: sys.exit(code), "stopped; the same command continues") == TERMINATED
    said = capsys.readouterr().err
    assert said == "ended by SIGTERM: stopped; the same command continues\n"
