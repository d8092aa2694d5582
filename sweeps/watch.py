"""A process of its own that outlives the driver: says what died, and removes what it left.

Ray ends a driver whose raylet dies, and nothing in a process that is killed can speak. Started by
`RaySession`, it waits at a pipe which closes with the driver, however that ends; a driver that ends
as it should says so through the pipe first.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from sweeps.process import holder, is_gone

PATIENCE = 20.0
"""Seconds that Ray's processes have to end by themselves."""
MARK = ".lacuna-driver"
"""File in Ray's folder that names its driver."""


class Watch:
    """The driver's end of the pipe."""

    def __init__(self, folder: Path) -> None:
        """Watch over Ray's `folder` from now on."""
        command = [sys.executable, "-P", "-m", "sweeps.watch", str(folder)]
        paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # what ends the driver's group must not end it
            env={**os.environ, "PYTHONPATH": paths},
        )

    def end(self) -> None:
        """The driver ends as it should."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"done")
            self._process.stdin.close()
        except BrokenPipeError:  # somebody ended it
            pass
        self._process.wait()


def main(folder: Path) -> None:
    """Wait for the driver's end; after another than it should have, speak and clean up."""
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    if sys.stdin.buffer.read() == b"done":
        return
    left = processes(folder)
    raylet = any("/raylet" in line.split(" ")[0] for line in left.values())
    # Each ends soon after the other: only a raylet that is still there says who was first.
    what = "the driver was killed" if raylet else "the driver or Ray's raylet was killed"
    print(
        f"ended: {what}; the same command continues where this one was",
        file=sys.stderr,
        flush=True,
    )
    end_processes(folder)
    shutil.rmtree(folder, ignore_errors=True)


def processes(folder: Path) -> dict[int, str]:
    """Pid -> command line of every process that names the folder, but this one."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
        if str(folder) in line and int(entry.parent.name) != os.getpid():
            found[int(entry.parent.name)] = line
    return found


def end_processes(folder: Path) -> None:
    """Give Ray's processes time to end, then kill them."""
    end = time.monotonic() + PATIENCE
    while processes(folder) and time.monotonic() < end:
        time.sleep(0.2)
    for pid in processes(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def mark(folder: Path) -> None:
    """Say whose folder it is, for `sweep_up`."""
    (folder / MARK).write_text(holder())


def sweep_up(parent: Path) -> None:
    """Remove folders of Ray whose drivers, of this machine, have certainly ended."""
    for file in parent.glob(f"ray-*/{MARK}"):
        try:
            driver = file.read_text(errors="replace")
        except OSError:  # not ours, or gone
            continue
        if is_gone(driver) and not processes(file.parent):
            shutil.rmtree(file.parent, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
