"""Decides who computes a key and whose result counts, on nothing but unique names.

Registered-model names are unique in MLflow, in one atomic step, which its tags are not. Two kinds
of name do it all: `lacuna.lease.<store>.<key>.<epoch>` claims an attempt,
`lacuna.commit.<store>.<key>.<n>` publishes a result (n counts from 1 and grows only when a damaged
result was withdrawn). One server may serve many stores: each sees its own names.
"""

import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from sweeps.process import holder
from sweeps.store.lease import Commit, Lease
from sweeps.tracking.client import create_name, patiently

if TYPE_CHECKING:
    from sweeps.tracking.client import MlflowClient

LEASE, COMMIT = "lacuna.lease", "lacuna.commit"


class MlflowCoordinator:
    """A `Coordinator` on an MLflow registry: works across processes, drivers and hosts."""

    def __init__(self, client: "MlflowClient", store: str = "store", session: str = "") -> None:
        """`client` is connected (`sweeps.tracking.client.connect`), its schema made.

        `store` is the identity of the storage whose results these are. `session` names one start of
        a study for all its processes; without one, this is its own.
        """
        self.client, self.session = client, session or new_session()
        self._lease, self._commit = f"{LEASE}.{store}", f"{COMMIT}.{store}"

    def leases(self, key: str) -> list[Lease]:
        """All claims on `key`, oldest first."""
        return [
            Lease(
                epoch,
                tags["state"],
                tags["beat"],
                tags["holder"],
                tags.get("reason", ""),
                tags.get("session", ""),
            )
            for epoch, tags in sorted(self._named(f"{self._lease}.{key}.").items())
        ]

    def claim(self, key: str, after: int = 0) -> int | None:
        """Claim attempt `after + 1`; None if somebody has it."""
        tags = {"state": "held", "holder": holder(), "beat": _now(), "session": self.session}
        name = f"{self._lease}.{key}.{after + 1}"
        return after + 1 if create_name(self.client, name, tags) else None

    def heartbeat(self, key: str, epoch: int) -> None:
        """A new `beat`; nobody compares its clock with another."""
        self._tag(f"{self._lease}.{key}.{epoch}", {"beat": _now()})

    def release(self, key: str, epoch: int) -> None:
        """Give a claim back unused."""
        self._tag(f"{self._lease}.{key}.{epoch}", {"state": "released"})

    def record_failure(self, key: str, epoch: int, reason: str) -> None:
        """Close an attempt as failed, with its reason."""
        self._tag(f"{self._lease}.{key}.{epoch}", {"reason": reason[:1000], "state": "failed"})

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
        name = f"{self._commit}.{key}.{latest + 1}"
        return create_name(self.client, name, tags, attempts=10)

    def committed(self, key: str) -> Commit | None:
        """The published result of `key`."""
        return _newest_commit(self._named(f"{self._commit}.{key}."))

    def all_committed(self) -> dict[str, Commit]:
        """All published results by key: one search, a page per 1,000 records."""
        found: dict[str, dict[int, dict[str, str]]] = {}
        for name, tags in self._search(f"{self._commit}.").items():
            key, _, generation = name.rpartition(".")
            found.setdefault(key, {})[int(generation)] = tags
        commits = {key: _newest_commit(generations) for key, generations in found.items()}
        return {key: commit for key, commit in commits.items() if commit is not None}

    def withdraw(self, key: str, generation: int, reason: str) -> None:
        """Take a damaged result out of use."""
        self._tag(f"{self._commit}.{key}.{generation}", {"withdrawn": reason[:1000]})

    def _tag(self, name: str, tags: Mapping[str, str]) -> None:
        for tag, value in tags.items():
            patiently(partial(self.client.set_registered_model_tag, name, tag, value))

    def _named(self, prefix: str) -> dict[int, dict[str, str]]:
        return {int(number): tags for number, tags in self._search(prefix).items()}

    def _search(self, prefix: str) -> dict[str, dict[str, str]]:
        """Tags by the rest of the name, for every name that begins with `prefix`."""
        found: dict[str, dict[str, str]] = {}
        token = None
        while True:
            search = partial(
                self.client.search_registered_models,
                f"name LIKE '{prefix}%'",
                max_results=1000,
                page_token=token,
            )
            page = patiently(search)
            found |= {model.name.removeprefix(prefix): dict(model.tags) for model in page}
            token = page.token
            if not token:
                return found


def new_session() -> str:
    """A name that no other start of a study has."""
    return uuid4().hex


def _newest_commit(generations: Mapping[int, Mapping[str, str]]) -> Commit | None:
    latest = max(generations, default=0)
    if not latest or "withdrawn" in generations[latest]:
        return None
    tags = dict(generations[latest])
    return Commit(int(tags["epoch"]), tags["sha256"], latest, tags)


def _now() -> str:
    return f"{time.time():.3f}"
