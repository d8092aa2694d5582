"""`python -m sweeps.store ls|verify|gc`: what the store holds, whether it is whole, what can go."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lacuna.errors import UserError
from lacuna.registry import suggest
from sweeps.errors import exit_status
from sweeps.store.gc import collect
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.store.open import study_storage
from sweeps.store.storage import name_of
from sweeps.store.store import Store
from sweeps.text import size_text
from sweeps.tracking.client import absolute_uri, prepare

Say = Callable[[str], None]

USAGE = """usage: python -m sweeps.store ls|verify|gc [artifacts=DIR] [store=URL] [tracking_uri=URI]

ls      a line per published result: kind, label, key, attempt, size, age, MLflow run
verify  reads every byte; names damaged files (exit 1) and sets them aside: the next study rebuilds
gc      lists what no study can use: results never published, set aside or half-written, and last
        touched more than hours=24 ago; delete=true removes it"""

PLACE = {"artifacts": "artifacts", "store": "", "tracking_uri": ""}
DEFAULTS = {"ls": PLACE, "verify": PLACE, "gc": {**PLACE, "hours": "24", "delete": "false"}}


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0 done, 1 damage found or something went wrong, 2 bad input."""
    if {"-h", "--help"} & set(arguments):
        print(USAGE)
        return 0
    return exit_status(lambda: _run(arguments, print), "stopped")


def _run(arguments: Sequence[str], say: Say) -> int:
    command, options = _parse(arguments)
    if command == "gc":
        hours, delete = _hours(options["hours"]), _flag("delete", options["delete"])
        collect(_open(options), hours, delete, say)
        return 0
    store = _open(options)
    if command == "verify":
        return 1 if verify(store, say) else 0
    for line in listing(store):
        say(line)
    return 0


def _parse(arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
    command = arguments[0] if arguments else ""
    if command not in DEFAULTS:
        raise UserError(f"unknown command {command!r}{suggest(command, DEFAULTS)}")
    options = dict(DEFAULTS[command])
    for argument in arguments[1:]:
        name, equals, value = argument.partition("=")
        if not equals:
            raise UserError(f"argument {argument!r} is not key=value: write artifacts=DIR")
        if name not in options:
            raise UserError(f"unknown key {name!r} of {command}{suggest(name, options)}")
        options[name] = value
    return command, options


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not hours >= 0:
        raise UserError(f"hours={text}: give a number, 0 or more")
    return hours


def _flag(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise UserError(f"{name}={text}: write true or false")
    return text == "true"


def _open(options: Mapping[str, str]) -> Store[MlflowCoordinator]:
    """A store that exists: nothing is made here."""
    artifacts = Path(options["artifacts"]).absolute()
    storage = study_storage(options["store"] or None, artifacts)
    uri = absolute_uri(options["tracking_uri"] or f"sqlite:///{artifacts / 'mlflow.db'}")
    database = Path(uri.removeprefix("sqlite:///"))
    if not storage.identity(make=False):
        raise UserError(f"{storage.root} is no store: name the output root with artifacts=")
    if uri.startswith("sqlite:///") and not database.is_file():
        raise UserError(f"{database} does not exist: name the study's tracking_uri=")
    return Store(storage, MlflowCoordinator(prepare(uri), storage.identity(make=False)))


def listing(store: Store[MlflowCoordinator]) -> list[str]:
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


def verify(store: Store[MlflowCoordinator], say: Say) -> int:
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
