"""Decides who computes a key and whose result counts, on nothing but unique names.

Two kinds of name do it all: `lacuna.lease.<store>.<key>.<epoch>` claims an attempt,
`lacuna.commit.<store>.<key>.<n>` publishes a result (n counts from 1 and grows only when a damaged
result was withdrawn). Whatever can create a name that nobody else created, in one atomic step, can
hold them: a folder of files here, MLflow's registry in `sweeps.store.mlflow_coordinator`. One such
place may serve many stores: each sees its own names.
"""

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from lacuna.artifacts import canonical, read_json, write_json
from sweeps.process import holder
from sweeps.store.lease import Commit, Coordinator, Lease

LEASE, COMMIT = "lacuna.lease", "lacuna.commit"


class NameCoordinator(ABC):
    """A `Coordinator` on a place that holds unique names, each with tags."""

    def __init__(self, store: str = "store", session: str = "") -> None:
        """`store` is the identity of the storage whose results these are. `session` names one start
        of a study for all its processes; without one, this is its own.
        """
        self.session = session or new_session()
        self._lease, self._commit = f"{LEASE}.{store}", f"{COMMIT}.{store}"

    @abstractmethod
    def create(self, name: str, tags: Mapping[str, str], attempts: int = 4) -> bool:
        """Create a name with its tags in one step; False if somebody has it."""

    @abstractmethod
    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Set tags of a name, in their order."""

    @abstractmethod
    def search(self, prefix: str) -> dict[str, dict[str, str]]:
        """Tags by the rest of the name, for every name that begins with `prefix`."""

    def leases(self, key: str) -> list[Lease]:
        """All claims on `key`, oldest first."""
        claims = sorted(self._named(f"{self._lease}.{key}.").items())
        return [_lease(epoch, tags) for epoch, tags in claims]

    def newest_leases(self) -> dict[str, Lease]:
        """The newest claim on every key, in one search."""
        found: dict[str, Lease] = {}
        for name, tags in self.search(f"{self._lease}.").items():
            key, _, epoch = name.rpartition(".")
            if key not in found or int(epoch) > found[key].epoch:
                found[key] = _lease(int(epoch), tags)
        return found

    def claim(self, key: str, after: int = 0) -> int | None:
        """Claim attempt `after + 1`; None if somebody has it."""
        tags = {"state": "held", "holder": holder(), "beat": _now(), "session": self.session}
        return after + 1 if self.create(f"{self._lease}.{key}.{after + 1}", tags) else None

    def heartbeat(self, key: str, epoch: int) -> None:
        """A new `beat`; nobody compares its clock with another."""
        self.tag(f"{self._lease}.{key}.{epoch}", {"beat": _now()})

    def release(self, key: str, epoch: int) -> None:
        """Give a claim back unused."""
        self.tag(f"{self._lease}.{key}.{epoch}", {"state": "released"})

    def record_failure(self, key: str, epoch: int, reason: str) -> None:
        """Close an attempt as failed, with its reason."""
        self.tag(f"{self._lease}.{key}.{epoch}", {"reason": reason[:1000], "state": "failed"})

    def commit(self, key: str, epoch: int, sha256: str, details: Mapping[str, str]) -> bool:
        """Publish; False if a newer claim fences this one off, or another result came first."""
        leases = self.leases(key)
        generations = self._named(f"{self._commit}.{key}.")
        latest = max(generations, default=0)
        if not leases or leases[-1].epoch > epoch:
            return False
        if latest and "withdrawn" not in generations[latest]:
            return False
        tags = {**details, "epoch": str(epoch), "sha256": sha256}
        # ten attempts are about three minutes: a result is worth waiting for a server to restart
        return self.create(f"{self._commit}.{key}.{latest + 1}", tags, attempts=10)

    def committed(self, key: str) -> Commit | None:
        """The published result of `key`."""
        return _newest_commit(self._named(f"{self._commit}.{key}."))

    def all_committed(self) -> dict[str, Commit]:
        """All published results by key, in one search."""
        found: dict[str, dict[int, dict[str, str]]] = {}
        for name, tags in self.search(f"{self._commit}.").items():
            key, _, generation = name.rpartition(".")
            found.setdefault(key, {})[int(generation)] = tags
        commits = {key: _newest_commit(generations) for key, generations in found.items()}
        return {key: commit for key, commit in commits.items() if commit is not None}

    def withdraw(self, key: str, generation: int, reason: str) -> None:
        """Take a damaged result out of use."""
        self.tag(f"{self._commit}.{key}.{generation}", {"withdrawn": reason[:1000]})

    def _named(self, prefix: str) -> dict[int, dict[str, str]]:
        return {int(number): tags for number, tags in self.search(prefix).items()}


class FolderCoordinator(NameCoordinator):
    """On a folder: a name is a file, its tags are JSON in it. Works across the processes that see
    the folder; no server, no database."""

    def __init__(self, folder: Path, store: str = "store", session: str = "") -> None:
        """The folder is made when the first name is."""
        super().__init__(store, session)
        self.folder, self._lock = folder, threading.Lock()

    def create(self, name: str, tags: Mapping[str, str], attempts: int = 4) -> bool:
        """The file appears whole, by a link that fails where there is one already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".{name}.{uuid4().hex}.part"
        try:
            with part.open("x", encoding="utf-8") as stream:
                stream.write(canonical(dict(tags)))
                stream.flush()
                os.fsync(stream.fileno())
            os.link(part, self.folder / name)
        except FileExistsError:
            return False
        finally:
            part.unlink(missing_ok=True)
        return True

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """The file is replaced in one step; a process writes one at a time."""
        with self._lock:  # the heart of a stage beats in another thread
            path = self.folder / name
            write_json(path, {**read_json(path), **tags})

    def search(self, prefix: str) -> dict[str, dict[str, str]]:
        """Files of which the names begin so."""
        return {
            path.name.removeprefix(prefix): read_json(path)
            for path in self.folder.glob(f"{prefix}*")
        }


def adopt(source: Coordinator, target: Coordinator) -> int:
    """Publish in `target` what only `source` knows of the same store; returns how much that is."""
    known, adopted = target.all_committed(), 0
    for key, commit in source.all_committed().items():
        if key in known or target.claim(key, after=commit.epoch - 1) is None:
            continue
        details = {k: v for k, v in commit.details.items() if k in ("kind", "label", "run_id")}
        adopted += target.commit(key, commit.epoch, commit.sha256, details)
        target.release(key, commit.epoch)
    return adopted


def new_session() -> str:
    """A name that no other start of a study has."""
    return uuid4().hex


def _lease(epoch: int, tags: Mapping[str, str]) -> Lease:
    said = (tags["state"], tags["beat"], tags["holder"])
    return Lease(epoch, *said, tags.get("reason", ""), tags.get("session", ""))


def _newest_commit(generations: Mapping[int, Mapping[str, str]]) -> Commit | None:
    latest = max(generations, default=0)
    if not latest or "withdrawn" in generations[latest]:
        return None
    tags = dict(generations[latest])
    return Commit(int(tags["epoch"]), tags["sha256"], latest, tags)


def _now() -> str:
    return f"{time.time():.3f}"
