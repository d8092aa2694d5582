"""Planning's questions to a store of many results."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._report import Part, against, median, seconds_of
from benchmarks._server import Server
from lacuna.artifacts import digest
from sweeps.process import holder
from sweeps.store.coordinator import COMMIT, LEASE
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.store.store import Store
from sweeps.tracking.client import connect, create_name, prepare

LOOKUPS = 10.0  # seconds planning's look-ups may take


def report(folder: Path, given: argparse.Namespace) -> Part:
    """(d) Planning's questions to a store of many results."""
    uri, n = f"sqlite:///{folder / 'mlflow.db'}", given.records
    client = prepare(uri)
    keys = [digest(["looked up", number]) for number in range(n)]
    filling = seconds_of(lambda: _fill(client, keys))
    wanted = [*keys, *(digest(["absent", number]) for number in range(n))]
    part = Part(f"(d) {n} results, {n} runs, {2 * n} names; asked for {2 * n} keys")
    part.add("filled in", f"{filling:.0f} s")
    with Server(folder, backend=uri) as server:
        for name, where in (("SQLite", uri), ("server", server.uri)):
            store = Store(folder / "checkpoints", MlflowCoordinator(connect(where)))
            store.published(wanted[:1])  # the first question pays for imports
            found: list[set[str]] = []
            seconds = seconds_of(partial(_ask, store, wanted, found))
            ones = [
                seconds_of(partial(store.coordinator.committed, key))
                for key in keys[:: n // 20 or 1]
            ]
            part.add(f"{name}, all in one look-up", f"{seconds:.2f} s, {against(seconds, LOOKUPS)}")
            part.add(f"{name}, a single key, median (max)", median(ones, 1000, "ms"))
            if found != [set(keys)]:
                part.violations.append(f"{name}: found {len(found[0])} of {n} results")
    return part


def _ask(store: Store[MlflowCoordinator], wanted: list[str], found: list[set[str]]) -> None:
    found.append(store.published(wanted))


def _fill(client: Any, keys: list[str]) -> None:
    """Names and runs as a worker leaves them."""
    experiment = client.create_experiment("lacuna")
    lease = {"state": "released", "holder": holder(), "beat": "1"}
    for key in keys:
        run = client.create_run(experiment, tags={"key": key, "stage": "trial"})
        client.log_param(run.info.run_id, "lr", "0.1")
        client.set_terminated(run.info.run_id)
        commit = {"epoch": "1", "sha256": key, "kind": "trial", "run_id": run.info.run_id}
        assert create_name(client, f"{LEASE}.store.{key}.1", lease)
        assert create_name(client, f"{COMMIT}.store.{key}.1", commit)
