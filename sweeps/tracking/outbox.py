"""Records that wait on disk for their tracking server: one JSON file per run, whole or absent."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lacuna.artifacts import read_json, write_json
from sweeps.tracking.delivery import deliver
from sweeps.tracking.records import Record

if TYPE_CHECKING:
    from sweeps.tracking.client import MlflowClient


def keep(folder: Path, uri: str, record: Record) -> None:
    """Store a record that ended, for `upload`. Raises `OSError` where the disk is full."""
    # Zeros in front: files sort as the runs ended.
    write_json(
        folder / f"{record.ended:015d}-{record.uid}.json", {"uri": uri, "record": asdict(record)}
    )


def upload(folder: Path, uri: str, client: "MlflowClient") -> tuple[int, int]:
    """Send what waits for the server at `uri`, oldest first; returns (sent, still waiting).

    Each run arrives once, even if an upload is cut off and repeated: its record is deleted only
    once the server has all of it, and runs that it has are recognised. One process uploads at a
    time.
    """
    told, waiting = 0, sorted(folder.glob("*.json"))
    if not waiting:
        return 0, 0
    with _alone(folder) as alone:
        for path in waiting if alone else []:
            kept = read_json(path)
            if kept["uri"] != uri:
                continue
            if not deliver(client, Record(**kept["record"]), attempts=2):
                break
            path.unlink()
            told += 1
    return told, len(waiting) - told


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no other process is uploading from `folder`."""
    with (folder / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
