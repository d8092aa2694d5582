"""Where results lie, by name (`<key[:2]>/<key>.<epoch>`): how they get there whole, and leave.

In a folder that all nodes share, or (`sweeps.store.remote`) at a URL.
"""

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

NAME = re.compile(r"\.?(?P<key>[0-9a-f]{64})\.(?P<epoch>\d+)(?:\.bad|\.\d+\.part)?")


def name_of(key: str, epoch: int) -> str:
    """Where attempt `epoch` at `key` puts its result, below the root."""
    return f"{key[:2]}/{key}.{epoch}"


def scratch_of(key: str) -> str:
    """Where attempts at `key` keep what the next one can resume from, below a folder of theirs.

    To `gc` it looks half-written, by an attempt that never was: attempts count from 1.
    """
    return f"{key[:2]}/.{key}.0.0.part"


@dataclass(frozen=True)
class StoredAttempt:
    """Something that lies below the root: what attempt `epoch` at `key` made."""

    path: str
    """Below the root."""
    key: str
    epoch: int
    state: str
    """`whole` (published or not), `part` (half-written) or `bad` (set aside)."""


class Storage(Protocol):
    """Holds results; knows nothing of who may use them (that is the coordinator's business)."""

    root: str
    """For people and other processes: an absolute path or a URL."""
    cache: str
    """A folder on this host for copies; empty where none are needed."""

    def identity(self, make: bool = True) -> str:
        """The same for all who use this storage, and nobody else's; empty if not `make` and new."""

    def writing(self, name: str) -> AbstractContextManager[Path]:
        """A private folder; what the block puts there is stored as `name`, whole or not at all."""

    def fetch(self, name: str, sha256: str) -> Path:
        """A folder with the result's bytes, all read and compared once in this process.

        Raises `Damaged` naming the files that differ.
        """

    def peek(self, name: str, sha256: str, file: str) -> dict[str, object]:
        """One JSON object of a result that is undamaged as far as a look at all of it can tell.

        Raises `Damaged` naming the files that differ.
        """

    def damages(self, name: str, sha256: str) -> list[str]:
        """`FILE problem` for each damaged file; reads every byte again."""

    def set_aside(self, name: str) -> None:
        """Keep a damaged result for inspection, where it can be taken for nothing else."""

    def remove(self, path: str) -> None:
        """Delete what lies there, if anything."""

    def entries(self, key: str = "") -> list[StoredAttempt]:
        """All there is, or all of one key."""

    def weigh(self, entry: StoredAttempt) -> tuple[int, float]:
        """Its bytes, and seconds since the last of them was written."""
