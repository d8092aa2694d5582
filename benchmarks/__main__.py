"""`python -m benchmarks NAME [options]` runs one benchmark; `all` runs those that end in minutes,
and writes what they print to RESULTS.md, with machine and versions."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

SHORT = (
    "startup",
    "train_step",
    "unlearn_step",
    "evaluate",
    "generate",
    "localize",
    "significance",
)
"""What `all` runs, a process each."""
NAMES = sorted([*SHORT, "audit", "faults", "seven_b", "sweep"])
RESULTS = Path("RESULTS.md")
LIBRARIES = ("torch", "transformers", "numpy", "ray", "mlflow-skinny")


def main(words: Sequence[str]) -> int:
    """The exit status: that of the benchmark, or 1 where one of all failed, 2 for no such name."""
    name, options = (words[0], words[1:]) if words else ("", ())
    if name == "all" and not options:
        return _all()
    if name not in NAMES:
        known = ", ".join(NAMES)
        print(f"python -m benchmarks {name}: choose all, or one of {known}", file=sys.stderr)
        return 2
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options]).returncode


def _all() -> int:
    parts, failed = [_machine()], 0
    for name in SHORT:
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        failed |= int(done.returncode != 0)
        parts.append(f"## {name}\n\n```\n{done.stdout.strip()}\n```\n")
        print(done.stdout, flush=True)
    RESULTS.write_text("\n".join(parts))
    return failed


def _machine() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"# Results of `python -m benchmarks all`\n\n"
        f"{date.today()}; {platform.machine()}, {os.cpu_count()} cores, load average {load} at the "
        f"start;\nPython {platform.python_version()}, {versions}.\n"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
