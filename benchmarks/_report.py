"""A part of a benchmark as a table, and how its numbers are written."""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Part:
    """What one part found, as rows of a table."""

    title: str
    rows: list[tuple[str, str]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def add(self, name: str, value: object) -> None:
        """One more row."""
        self.rows.append((name, str(value)))

    def text(self) -> str:
        """The table, with every broken promise below it."""
        width = max(len(name) for name, _ in self.rows)
        lines = [f"{name:{width}}  {value}" for name, value in self.rows]
        broken = [f"BROKEN: {violation}" for violation in self.violations]
        return "\n".join([self.title, *lines, *broken, ""])


def at_least_one(text: str) -> int:
    """A count from the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def names(known: Iterable[str]) -> dict[str, Any]:
    """Keyword arguments of an option that takes some of the `known` names, by default all."""
    known = list(known)

    def some(text: str) -> list[str]:
        given = text.split(",")
        if unknown := set(given) - set(known):
            raise argparse.ArgumentTypeError(f"{min(unknown)!r} is not one of {', '.join(known)}")
        return given

    return {"type": some, "default": known, "help": ",".join(known)}


def seconds_of(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.monotonic()
    call()
    return time.monotonic() - start


def milliseconds(seconds: float) -> str:
    """Three digits of a short time."""
    return f"{1000 * seconds:.3g} ms"


def median(values: list[float], scale: float = 1, unit: str = "s") -> str:
    """Median and, in brackets, maximum of times in seconds."""
    return f"{scale * statistics.median(values):.3g} ({scale * max(values):.3g}) {unit}"


def against(seconds: float, limit: float) -> str:
    """Whether a time keeps its limit: words only, as it depends on the machine."""
    return f"{'within' if seconds <= limit else 'MISSED'} {limit:g} s"
