"""Stores for tests: a coordinator without a server, a database made once, work, and damage."""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from support import ROOT
from sweeps.errors import CoordinatorError
from sweeps.process import holder
from sweeps.stage import Stage
from sweeps.store.lease import Commit, Lease
from sweeps.tracking.client import prepare

STAGE = Stage("toy", "toy seed=1", {"lr": 0.1}, {}, {})
KEY = STAGE.key


@cache
def _schema() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        prepare(f"sqlite:///{folder}/mlflow.db")
        return (Path(folder) / "mlflow.db").read_bytes()


def new_database(file: Path) -> str:
    """An empty tracking store's URI; to make its schema takes seconds, so it is made once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_schema())
    return f"sqlite:///{file}"


class MemoryCoordinator:
    """The coordinator's promises in a dictionary: same rules as the MLflow one, no server."""

    def __init__(self, who: str = "") -> None:
        self.claims: dict[tuple[str, int], Lease] = {}
        self.commits: dict[tuple[str, int], Commit] = {}
        self.withdrawn: dict[tuple[str, int], str] = {}
        self.lock, self.who = threading.Lock(), who or holder()
        self.away, self.session = False, "first"

    def leases(self, key: str) -> list[Lease]:
        return [lease for (name, _), lease in sorted(self.claims.items()) if name == key]

    def claim(self, key: str, after: int = 0) -> int | None:
        with self.lock:
            if (key, after + 1) in self.claims:
                return None
            claim = Lease(after + 1, "held", "0", self.who, session=self.session)
            self.claims[key, after + 1] = claim
            return after + 1

    def change(self, key: str, epoch: int, state: str, beat: str, reason: str = "") -> None:
        old = self.claims[key, epoch]
        self.claims[key, epoch] = replace(old, state=state, beat=beat, reason=reason)

    def heartbeat(self, key: str, epoch: int) -> None:
        if self.away:
            raise CoordinatorError("the server is away")
        self.change(key, epoch, "held", str(time.monotonic_ns()))

    def release(self, key: str, epoch: int) -> None:
        if self.away:
            raise CoordinatorError("the server is away")
        self.change(key, epoch, "released", "")

    def record_failure(self, key: str, epoch: int, reason: str) -> None:
        if self.away:
            raise CoordinatorError("the server is away")
        self.change(key, epoch, "failed", "", reason)

    def commit(self, key: str, epoch: int, sha256: str, details: Mapping[str, str]) -> bool:
        if self.away:
            raise CoordinatorError("the server is away")
        leases = self.leases(key)
        with self.lock:
            if not leases or leases[-1].epoch > epoch or self.committed(key):
                return False
            generation = 1 + sum(name == key for name, _ in self.commits)
            self.commits[key, generation] = Commit(epoch, sha256, generation, details)
            return True

    def committed(self, key: str) -> Commit | None:
        live = [c for (name, n), c in self.commits.items() if name == key]
        if not live or (key, live[-1].generation) in self.withdrawn:
            return None
        return live[-1]

    def all_committed(self) -> dict[str, Commit]:
        return {key: commit for key, _ in self.commits if (commit := self.committed(key))}

    def withdraw(self, key: str, generation: int, reason: str) -> None:
        self.withdrawn[key, generation] = reason


def writing(text: str, ran: list[str] | None = None) -> Callable[..., dict[str, Any]]:
    """Work that writes one small file and notes that it ran."""

    def work(inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
        (out / "weights").mkdir()
        (out / "weights" / "a.bin").write_text(text)
        if ran is not None:
            ran.append(text)
        return {"score": 0.5}

    return work


def files_below(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def flip(folder: Path) -> str:
    path = folder / "weights" / "a.bin"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    return "a.bin differs from its manifest"


def remove_file(folder: Path) -> str:
    (folder / "weights" / "a.bin").unlink()
    return "a.bin does not exist"


def ended_process() -> str:
    code = "from sweeps.process import holder; print(holder())"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    return ended.stdout.strip()


def failing(inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
    raise RuntimeError("out of memory")
