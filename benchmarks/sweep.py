"""Proof that the sweep engine holds: contention, two drivers, cost per trial, a large store.

    python -m benchmarks.sweep [--parts contention,drivers,overhead,lookups] [sizes]

Exit status 1 if a promise was broken; a missed time is only shown, as it depends on the machine.
"""

import argparse
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from benchmarks._report import Part, at_least_one, names

# Modules by name: a contender of (a) imports this file again, and must not pay for torch and ray.
PARTS = {
    "contention": "benchmarks._contention",
    "drivers": "benchmarks._drivers",
    "overhead": "benchmarks._overhead",
    "lookups": "benchmarks._lookups",
}


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description="The sweep engine under load and under attack.")
    parser.add_argument("--parts", **names(PARTS))
    parser.add_argument("--rounds", type=at_least_one, default=20, help="of (a) (20)")
    parser.add_argument("--processes", type=at_least_one, default=16, help="of (a) (16)")
    parser.add_argument("--keys", type=at_least_one, default=3, help="of (a) (3)")
    parser.add_argument("--trials", type=at_least_one, default=300, help="of (c) (300)")
    parser.add_argument("--records", type=at_least_one, default=2000, help="of (d) (2000)")
    parser.add_argument("--seed", type=at_least_one, default=1, help="faults and orders of (a) (1)")
    given = parser.parse_args()
    broken = 0
    for name in given.parts:
        with tempfile.TemporaryDirectory(prefix="lacuna-") as folder:
            part: Part = import_module(PARTS[name]).report(Path(folder), given)
        print(part.text(), flush=True)
        broken += len(part.violations)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
