"""Studies as a person starts them, and what they left in their store."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import ROOT
from sweeps.config.compose import configure
from sweeps.plan.make import make_planner
from sweeps.plan.planner import Planner
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.store.open import study_storage
from sweeps.store.store import Store
from sweeps.tracking.client import connect


def planned(*overrides: str, study: str = "smoke") -> Planner:
    """A shipped study, planned."""
    return make_planner(configure([f"study={study}", *overrides]))


def sweeps(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m sweeps` in a folder, in a process of its own that must not show a traceback."""
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    settings.pop("MLFLOW_RUN_ID", None)
    command = [sys.executable, "-m", "sweeps", *words]
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@dataclass(frozen=True)
class Result:
    """A finished stage in the store."""

    kind: str
    key: str
    label: str
    folder: Path
    summary: dict[str, Any]


def results(artifacts: Path) -> list[Result]:
    """All results of the studies below this output root, in order of keys; each is verified."""
    storage = study_storage(None, artifacts)
    client = connect(f"sqlite:///{artifacts}/mlflow.db")
    store = Store(storage, MlflowCoordinator(client, storage.identity()))
    found = []
    for key in sorted(store.coordinator.all_committed()):
        manifest, folder, summary = store.manifest(key), store.get(key), store.summary(key)
        assert manifest is not None and folder is not None and summary is not None
        found.append(Result(manifest["kind"], key, manifest["label"], folder, summary))
    return found
