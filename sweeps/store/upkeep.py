"""Looking after a store: what it holds, whether that is whole, and what no study can use.

Collecting never touches what is published, or what a living process still writes.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lacuna.errors import UserError
from sweeps import paths
from sweeps.store.coordinator import adopt
from sweeps.store.lease import Coordinator, Lease, Liveness, is_killed
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.store.open import found_records, study_storage
from sweeps.store.storage import StoredAttempt, name_of
from sweeps.store.store import Store
from sweeps.text import size_text
from sweeps.tracking.client import absolute_uri, prepare

Say = Callable[[str], None]


def open_store(artifacts: Path, store: str | None, tracking_uri: str | None) -> Store[Coordinator]:
    """The store of the studies below `artifacts`; no store or database is made here.

    `store` and `tracking_uri` are a study's settings of these names. Where studies ran with and
    without tracking, the tracking store learns what was published without it. Raises `UserError`
    where no study has left a store or its records.
    """
    storage = study_storage(store, artifacts.absolute())
    identity = storage.identity(make=False)
    if not identity:
        raise UserError(f"{storage.root} is no store: name the output root with artifacts=")
    untracked = found_records(storage, artifacts.absolute())
    uri = absolute_uri(paths.tracking_uri(tracking_uri, artifacts))
    database = paths.sqlite_path(uri)
    if database is not None and not database.exists():
        if untracked is None or tracking_uri:
            raise UserError(f"{database} does not exist: name the study's tracking_uri=")
        return Store(storage, untracked)
    tracked = MlflowCoordinator(prepare(uri), identity)
    if untracked is not None:
        adopt(untracked, tracked)
    return Store(storage, tracked)


def listing(store: Store[Coordinator]) -> list[str]:
    """A line per published result; sizes and ages without reading the files."""
    lying = {entry.path: entry for entry in store.storage.entries()}
    rows = []
    for key, commit in store.coordinator.all_committed().items():
        entry = lying.get(name_of(key, commit.epoch))
        size, age = store.storage.weigh(entry) if entry else (0, 0.0)
        found = (size_text(size), f"{age / 3600:.1f} h") if entry else ("missing", "-")
        said = [commit.details.get(name, "-") or "-" for name in ("kind", "label", "run_id")]
        rows.append((said[0], said[1], key[:12], str(commit.epoch), *found, said[2]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in sorted(rows)]


def verify(store: Store[Coordinator], say: Say) -> int:
    """Read every published byte; the number of damaged results, all set aside.

    Raises `UserError` if nothing of what is recorded is here: root and records belong to different
    studies, and to withdraw all records would cost their owner the results.
    """
    commits = store.coordinator.all_committed()
    lying = {entry.path for entry in store.storage.entries()}
    if commits and lying.isdisjoint(name_of(key, c.epoch) for key, c in commits.items()):
        raise UserError(
            f"none of the {len(commits)} results on record lies below {store.storage.root}: "
            "name the artifacts= and tracking_uri= of one study"
        )
    damaged = 0
    for key, commit in sorted(commits.items()):
        name = name_of(key, commit.epoch)
        problems = store.storage.damages(name, commit.sha256)
        for problem in problems:
            say(f"damaged: {store.storage.root}/{name}/{problem}")
        if problems:
            store.set_aside(key, commit, f"{name}/{'; '.join(problems)}")
            damaged += 1
    say(f"results read: {len(commits)}, damaged: {damaged}")
    return damaged


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
        say(f"can go: {total}" + ("; add --delete" if garbage else ""))


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
