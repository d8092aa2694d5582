"""`python -m lacuna.significance.calibrate`: how often intervals and tests are right.

Exit status 0 done, 2 bad input (one line).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lacuna.artifacts import write_json
from lacuna.errors import UserError
from lacuna.registry import suggest
from lacuna.significance.calibrate.fitted import fitted
from lacuna.significance.calibrate.methods import Plan
from lacuna.significance.calibrate.rates import Row, plain, summary, table
from lacuna.significance.calibrate.run import calibrate
from lacuna.significance.calibrate.shapes import SHAPES, Shape
from lacuna.significance.seeds import MAX_SEEDS

MAX_REGIONS = 8


def main(arguments: Sequence[str]) -> int:
    """Run one calibration; errors that a user can mend are one line on stderr."""
    given = parser().parse_args(arguments)
    # One thread a process: two that share two cores would only wait for each other.
    os.environ |= {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    try:
        shapes, plan = chosen(given), planned(given)
        found: list[Row] = []
        for rows in calibrate(shapes, plan, given.studies, given.seed, given.processes):
            print(table(rows), flush=True)
            found += rows
        if given.out:
            write_json(given.out, [plain(row) for row in found])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(*summary(found), sep="\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="python -m lacuna.significance.calibrate",
        description="Coverage, size and power of every interval and test of the report, in "
        "simulated studies of which the truth is known.",
    )
    add = made.add_argument
    add("--studies", type=int, default=2000, metavar="N", help="a shape (2000)")
    add("--shapes", metavar="NAMES", help=f"of {','.join(SHAPES)} (all)")
    add("--fit", type=Path, metavar="STUDY_FOLDER", help="shapes like those of a finished study")
    add("--seeds", default="4,6,8", metavar="NUMBERS", help="seeds of a study (4,6,8)")
    add("--regions", default="1,3", metavar="NUMBERS", help="random regions of a seed (1,3)")
    add("--seed", type=int, default=0, help="of the simulation (0)")
    add("--processes", type=int, default=2, help="the rows do not depend on it (2)")
    add("--out", type=Path, metavar="FILE", help="for the rows as JSON")
    return made


def chosen(given: argparse.Namespace) -> list[Shape]:
    """The shapes asked for: all, or those of a study if one is given and none is named."""
    names = list(SHAPES) if given.shapes is None and given.fit is None else []
    names += [] if given.shapes is None else given.shapes.split(",")
    for name in names:
        if name not in SHAPES:
            raise UserError(f"unknown shape {name!r}{suggest(name, list(SHAPES))}")
    shapes = [SHAPES[name] for name in dict.fromkeys(names)]
    return shapes + ([] if given.fit is None else fitted(given.fit))


def planned(given: argparse.Namespace) -> Plan:
    """Seeds and regions. Raises `UserError` for numbers out of range."""
    for name in ("studies", "processes"):
        if getattr(given, name) < 1:
            raise UserError(f"--{name} {getattr(given, name)}: at least 1")
    seeds = numbers("--seeds", given.seeds, 2, MAX_SEEDS)
    return Plan(seeds, numbers("--regions", given.regions, 1, MAX_REGIONS))


def numbers(option: str, text: str, low: int, high: int) -> tuple[int, ...]:
    """Comma-separated whole numbers within a range, smallest first."""
    words = text.split(",")
    if not all(word.isdigit() and low <= int(word) <= high for word in words):
        raise UserError(f"{option} {text}: give whole numbers from {low} to {high}, as in 4,6,8")
    return tuple(sorted({int(word) for word in words}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
