"""What lies in a store and is of no use to any study: told from what somebody may still need."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sweeps.store.lease import Coordinator, Lease, Liveness, is_killed
from sweeps.store.storage import StoredAttempt, name_of
from sweeps.store.store import Store
from sweeps.text import size_text

Say = Callable[[str], None]


@dataclass(frozen=True)
class Item:
    """Something unpublished: why it can go, or is `kept` all the same."""

    entry: StoredAttempt
    size: int
    age: float
    why: str
    kept: bool

    def line(self) -> str:
        """For people."""
        said = f"kept: {self.why}" if self.kept else self.why
        return f"{size_text(self.size):>8}  {self.age / 3600:>6.1f} h  {self.entry.path}  {said}"


def collect(store: Store[Coordinator], hours: float, delete: bool, say: Say) -> None:
    """List what is unpublished and was last written `hours` ago; with `delete` remove it."""
    items = list(unpublished(store, hours, say))
    for item in items:
        say(item.line())
    garbage = [item for item in items if not item.kept]
    total = f"{len(garbage)}, {size_text(sum(item.size for item in garbage))}"
    if delete:
        for item in garbage:
            store.storage.remove(item.entry.path)
        say(f"removed: {total}")
    else:
        say(f"can go: {total}" + ("; add delete=true" if garbage else ""))


def unpublished(store: Store[Coordinator], hours: float, say: Say) -> Iterator[Item]:
    """All that no reader can find; what is published while we look is not among it."""
    entries = store.storage.entries()
    published = {name_of(key, c.epoch) for key, c in store.coordinator.all_committed().items()}
    weights = {
        entry: store.storage.weigh(entry) for entry in entries if entry.path not in published
    }
    weights = {entry: weight for entry, weight in weights.items() if weight[1] >= hours * 3600}
    claims = {entry: claim_of(store.coordinator, entry) for entry in weights}
    living = _living(store, claims, say)
    for entry, (size, age) in weights.items():
        commit = store.coordinator.committed(
            entry.key
        )  # its attempt has ended: this look is the last
        if entry in living:
            yield Item(entry, size, age, "its holder lives", True)
        elif commit is None or name_of(entry.key, commit.epoch) != entry.path:
            yield Item(entry, size, age, *_judged(entry, claims[entry]))


def claim_of(coordinator: Coordinator, entry: StoredAttempt) -> Lease | None:
    """The claim of the attempt that made this."""
    claims = {lease.epoch: lease for lease in coordinator.leases(entry.key)}
    return claims.get(entry.epoch)


def _judged(entry: StoredAttempt, claim: Lease | None) -> tuple[str, bool]:
    if entry.state == "bad":
        return "damaged, set aside", False
    if entry.state == "part":
        return "half-written, its writer is gone", False
    if claim is None:
        return "claimed in another tracking store: name its tracking_uri=, or remove it", True
    return "no commit record", False


def _living(
    store: Store[Coordinator], claims: Mapping[StoredAttempt, Lease | None], say: Say
) -> set[StoredAttempt]:
    """Those whose holder lives: its heart beats, or it ended its attempt, while we watch."""
    first = {
        entry: claim
        for entry, claim in claims.items()
        if claim and claim.state == "held" and not is_killed(claim)
    }
    watches, living = {entry: Liveness(store.ttl) for entry in first}, set[StoredAttempt]()
    if watches:
        say(f"watching {len(watches)} holders for signs of life, up to {store.ttl:g} s")
    while watches:
        for entry, watch in list(watches.items()):
            now = claim_of(store.coordinator, entry)
            if now != first[entry]:
                living.add(entry)
            if entry in living or watch.is_dead(first[entry]):
                del watches[entry]
        time.sleep(store.ttl / 60 if watches else 0.0)
    return living
