"""Who may compute a key: leases, heartbeats, and judging a silent holder dead.

The coordinator (`sweeps.store.mlflow_coordinator`) can do one atomic thing: create a name that
nobody else created. From that follow exactly one *published* result per key, and one *computation*
per key as long as the holder neither dies nor stalls longer than the time to live. No lease can
promise more.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from sweeps.errors import CoordinatorError
from sweeps.process import is_gone

TTL = 60.0
"""Seconds without a heartbeat after which a holder is judged dead."""
BEAT = 10.0
"""Seconds between a holder's heartbeats."""


@dataclass(frozen=True)
class Lease:
    """The newest claim on a key; `epoch` grows with each attempt and fences older holders off."""

    epoch: int
    state: str
    """`held`, `failed` or `released`."""
    beat: str
    holder: str
    reason: str = ""
    session: str = ""
    """Which start of a study, on which driver, made the claim."""


@dataclass(frozen=True)
class Commit:
    """The published result of a key: which attempt made it, and the manifest's sha256."""

    epoch: int
    sha256: str
    generation: int = 1
    details: Mapping[str, str] = field(default_factory=dict)


class Coordinator(Protocol):
    """Decides between processes and hosts; every method may raise `CoordinatorError`."""

    session: str
    """Goes into every claim made here."""

    def leases(self, key: str) -> list[Lease]:
        """All claims on `key`, whoever made them, oldest first."""

    def claim(self, key: str, after: int = 0) -> int | None:
        """Claim attempt `after + 1`: its epoch, or None where somebody else has it."""

    def heartbeat(self, key: str, epoch: int) -> None:
        """Show that the holder lives, by changing the lease's `beat`."""

    def release(self, key: str, epoch: int) -> None:
        """Give a claim back unused."""

    def record_failure(self, key: str, epoch: int, reason: str) -> None:
        """Close an attempt as failed, so that waiters stop waiting."""

    def commit(self, key: str, epoch: int, sha256: str, details: Mapping[str, str]) -> bool:
        """Publish; False if a newer claim or another result came first."""

    def committed(self, key: str) -> Commit | None:
        """The published result of `key`."""

    def all_committed(self) -> dict[str, Commit]:
        """All published results by key, in one look-up."""

    def withdraw(self, key: str, generation: int, reason: str) -> None:
        """Take a damaged result out of use; a later commit takes its place."""


def failed_in_a_row(leases: Sequence[Lease], session: str) -> list[Lease]:
    """The newest attempts that all failed or lost their holder, since `session` first tried.

    What failed before the session is no reason to give up: its cause may have been mended, which is
    why somebody started the study again. Ask only when the newest holder is known to be dead.
    """
    ended_well = [lease.epoch for lease in leases if lease.state == "released"]
    last_good = max(ended_well, default=0)
    row = [lease for lease in leases if lease.epoch > last_good]
    ours = [n for n, lease in enumerate(row) if lease.session == session]
    return row[ours[0] :] if ours else []


def is_killed(lease: Lease) -> bool:
    """True only if the claim's holder has certainly ended without giving the claim back."""
    return lease.state == "held" and is_gone(lease.holder)


class Liveness:
    """Judges one key's holder by changes this watcher saw, never by comparing two hosts' clocks."""

    def __init__(self, ttl: float, now: Callable[[], float] = time.monotonic) -> None:
        """`ttl`: seconds without a new beat after which the holder counts as dead."""
        self.ttl, self.now = ttl, now
        self.seen: tuple[int, str] | None = None
        self.since = now()

    def is_dead(self, lease: Lease) -> bool:
        """Call repeatedly with the newest lease."""
        if self.seen != (lease.epoch, lease.beat):
            self.seen, self.since = (lease.epoch, lease.beat), self.now()
        return is_gone(lease.holder) or self.now() - self.since >= self.ttl


@contextmanager
def heartbeats(coordinator: Coordinator, key: str, epoch: int, every: float) -> Iterator[None]:
    """Heartbeats from a thread, `every` seconds, while the block runs."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(every):
            try:
                coordinator.heartbeat(key, epoch)
            except CoordinatorError:
                # The server is away: the next beat may reach it. If it stays away longer than the
                # time to live, another process may take over, and the commit decides.
                continue

    thread = threading.Thread(target=beat, name=f"beat-{key[:8]}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
