"""Start-up: what each command takes before it has said something.

    python -m benchmarks.startup [--repeats 3]

Each command is a process of its own, in an empty folder; wall and CPU seconds of all of it, and
what importing torch and transformers alone takes on the same machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks._measure import Laps, summary
from benchmarks._report import at_least_one

ROOT = Path(__file__).parents[1]
LACUNA = ("-m", "sweeps")
COMMANDS: Mapping[str, Sequence[str]] = {
    "lacuna --help": (*LACUNA, "--help"),
    "lacuna store ls": (*LACUNA, "store", "ls"),
    "lacuna run of an unknown study": (*LACUNA, "run", "no-such-study"),
    "lacuna plan smoke": (*LACUNA, "plan", "smoke"),
    "import torch": ("-c", "import torch"),
    "import transformers' models": ("-c", "from transformers import PreTrainedModel"),
}


def run(words: Sequence[str]) -> tuple[float, float]:
    """Wall and CPU seconds of one process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        before, began = os.times(), time.perf_counter()
        subprocess.run(
            [sys.executable, "-P", *words], cwd=folder, env=environment, capture_output=True
        )
        wall, after = time.perf_counter() - began, os.times()
    user = after.children_user - before.children_user
    return wall, user + after.children_system - before.children_system


def measure(repeats: int) -> dict[str, Laps]:
    """All commands in turn, so that noise hits all; the first round only warms the disk's cache."""
    laps = {name: Laps() for name in COMMANDS}
    for _ in range(repeats + 1):
        for name, words in COMMANDS.items():
            wall, cpu = run(words)
            laps[name].wall.append(wall)
            laps[name].cpu.append(cpu)
    return {name: lap.after(1) for name, lap in laps.items()}


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description="What commands take to start.")
    parser.add_argument("--repeats", type=at_least_one, default=3, help="of each command (3)")
    found = measure(parser.parse_args().repeats)
    width = max(map(len, found)) + 6
    print(f"{'':{width}}{'median':>11}  {'min':>11}  {'max':>11}     n")
    for name, laps in found.items():
        print(f"{name + ', wall':{width}}{summary(laps.wall, 's')}")
        print(f"{name + ', CPU':{width}}{summary(laps.cpu, 's')}")


if __name__ == "__main__":
    main()
