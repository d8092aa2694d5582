"""Where results are stored, by name (`<key[:2]>/<key>.<epoch>`).

`sweeps.store.local` is a folder that all nodes share, `sweeps.store.remote` a URL.
"""

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

NAME = re.compile(r"\.?(?P<key>[0-9a-f]{64})\.(?P<epoch>\d+)(?:\.bad|\.\d+\.part)?")


def name_of(key: str, epoch: int) -> str:
    """The path, below the root, of the result of attempt `epoch` at `key`."""
    return f"{key[:2]}/{key}.{epoch}"


def scratch_of(key: str) -> str:
    """The path, below a folder of the caller's, of what the next attempt at `key` can resume from.

    It is named as half-written by attempt 0, which does not exist (attempts count from 1), so that
    `gc` treats it as something unpublished.
    """
    return f"{key[:2]}/.{key}.0.0.part"


@dataclass(frozen=True)
class StoredAttempt:
    """What attempt `epoch` at `key` left in the storage."""

    path: str
    """Below the root."""
    key: str
    epoch: int
    state: str
    """`whole` (published or not), `part` (half-written) or `bad` (set aside)."""


class Storage(Protocol):
    """Holds results. Who may use them is decided by the coordinator, not here."""

    root: str
    """For people and other processes: an absolute path or a URL."""
    cache: str
    """A folder on this host for copies; empty where none are needed."""

    def identity(self, make: bool = True) -> str:
        """A stable id of this storage. Returns "" if it has none yet and `make` is false."""

    def writing(self, name: str) -> AbstractContextManager[Path]:
        """A private folder; what the block writes there is stored as `name`, or nothing is."""

    def fetch(self, name: str, sha256: str) -> Path:
        """A folder with the result. Every byte is compared, once in this process.

        Raises `Damaged` naming the files that differ.
        """

    def peek(self, name: str, sha256: str, file: str) -> dict[str, object]:
        """One JSON file of a result, which is checked for damage without fetching all of it.

        Raises `Damaged` naming the files that differ.
        """

    def damages(self, name: str, sha256: str) -> list[str]:
        """`FILE problem` for each damaged file; reads every byte again."""

    def set_aside(self, name: str) -> None:
        """Keep a damaged result for inspection, under a name that no reader looks for."""

    def remove(self, path: str) -> None:
        """Delete what is stored at `path`, if anything."""

    def entries(self, key: str = "") -> list[StoredAttempt]:
        """Every attempt in the storage, or every attempt at one key."""

    def weigh(self, entry: StoredAttempt) -> tuple[int, float]:
        """Size in bytes, and seconds since its last file was written."""
