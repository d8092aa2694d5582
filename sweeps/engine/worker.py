"""What a worker does with one stage: look it up, or compute, publish and log it."""

import ctypes
import gc
import importlib
import json
import random
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from lacuna.artifacts import read_json
from lacuna.errors import UserError
from lacuna.results import Summary
from lacuna.results.files import MANIFEST
from sweeps.errors import one_line
from sweeps.stage import Stage
from sweeps.store.lease import BEAT, TTL, Coordinator
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.store.open import open_storage
from sweeps.store.storage import scratch_of
from sweeps.store.store import Store, Work
from sweeps.tracking.client import RunLocation, connect
from sweeps.tracking.runs import StageRun

OnStep = Callable[[int, Mapping[str, float]], None]
WORK = "sweeps.engine.execute.execute"
"""What does the work of a stage, unless a `Runtime` says otherwise."""

EXPECTED = (UserError, RuntimeError, OSError, FloatingPointError)
"""How a stage may fail by itself: bad input, divergence, memory, disk. To run it again at once
would fail again; anything else is a bug, which Ray reports with its own means."""


@dataclass(frozen=True)
class Runtime:
    """All that a worker needs to know; plain values, the same for every stage of a study."""

    place: RunLocation
    root: str
    """The store: a folder, absolute, on storage that all nodes share, or a URL."""
    work: str = WORK
    """Dotted name of `execute(stage, inputs, out, on_step) -> summary`."""
    ttl: float = TTL
    """Seconds without a heartbeat after which a lease is taken over."""
    beat: float = BEAT
    """Seconds between heartbeats."""
    session: str = ""
    """Names this start of the study: it has its own count of failed attempts."""
    cache: str = ""
    """An absolute folder for copies, on each node's own storage; only a URL needs it."""


def pack(stage: Stage) -> str:
    """A stage as JSON text."""
    return json.dumps(asdict(stage))


def unpack(text: str) -> Stage:
    """The stage that `pack` wrote."""
    return Stage(**json.loads(text))


@cache
def open_store(runtime: Runtime) -> Store[MlflowCoordinator]:
    """One store, and one connection, per process."""
    storage = open_storage(runtime.root, Path(runtime.cache))
    coordinator = MlflowCoordinator(connect(runtime.place.uri), storage.identity(), runtime.session)
    return Store(storage, coordinator, runtime.ttl, runtime.beat)


@cache
def freeze(runtime: Runtime) -> None:
    """Exclude what a worker needs for every stage from garbage collection.

    It is half a million objects: 0.3 s each time that a stage's own are collected.
    """
    open_store(runtime).coordinator.committed("")  # the client imports most at its first question
    _work_of(runtime)
    gc.collect()
    gc.freeze()


@cache
def keep_heap() -> bool:
    """Let freed memory stay with this process while a stage runs; whether that can be.

    A C library hands the pages of each larger tensor back and has them cleared anew for the next:
    a fifth of the time of reading with a small model. What is kept, `return_heap` returns.
    """
    library = ctypes.CDLL(None)
    if not (hasattr(library, "mallopt") and hasattr(library, "malloc_trim")):  # glibc's own
        return False
    kept = {"M_MMAP_THRESHOLD": (-3, 32 * 2**20), "M_TRIM_THRESHOLD": (-1, 256 * 2**20)}
    return all([library.mallopt(*option) for option in kept.values()])


def return_heap() -> None:
    """Give all free memory back, so that a worker's level is the same after each stage."""
    gc.collect()
    if keep_heap():
        ctypes.CDLL(None).malloc_trim(0)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Run(Protocol):
    """What hears of a stage while it is computed: `sweeps.tracking.runs.StageRun`, or nothing."""

    @property
    def begun(self) -> bool:
        """Whether the stage is computed here, rather than found in the store."""

    @property
    def run_id(self) -> str:
        """On the tracking server; may be empty."""

    def begin(self, stage: Stage, inputs: Mapping[str, Path]) -> None:
        """The stage is about to be computed from these folders, by role."""

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Training metrics."""

    def finish(self, folder: Path) -> None:
        """The result is published in this folder."""

    def superseded(self) -> None:
        """Another result of the same key was published first."""


Begin = Callable[[Mapping[str, Path], Path], None]
"""Told the folders of the inputs, by role, and the one to write to, before the work begins."""


def attempt(runtime: Runtime, text: str, begin: Begin = lambda *_: None) -> dict[str, str]:
    """What a worker does with a packed stage: `publish` it, with a tracked run of its own."""
    store = open_store(runtime)
    freeze(runtime)
    run = StageRun(runtime.place, store.coordinator.client)
    return publish(runtime, store, unpack(text), run, begin)


def publish(
    runtime: Runtime,
    store: Store[Coordinator],
    stage: Stage,
    run: AbstractContextManager[Run],
    begin: Begin = lambda *_: None,
) -> dict[str, str]:
    """Have one stage's result published: `{"how": "trained" | "reused" | "failed", "reason": ...}`.

    Safe to repeat: a stage whose result exists is not computed again.
    """
    keep_heap()
    seed_worker(stage)
    try:
        with run as told:
            work = _work(runtime, stage, told, begin)
            folder = store.produce(stage, work, lambda: told.run_id)
            shutil.rmtree(_scratch(runtime, stage), ignore_errors=True)
            return {"how": _close(told, folder), "reason": ""}
    except EXPECTED as error:
        return {"how": "failed", "reason": one_line(error)}
    finally:
        return_heap()


def seed_worker(stage: Stage) -> None:
    """Use as many threads as the stage has CPUs, and seed the global generators by its key."""
    torch.set_num_threads(max(1, int(stage.cpus)))
    seed = int(stage.key[:8], 16)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def execute(
    runtime: Runtime, stage: Stage, inputs: Mapping[str, Path], out: Path, on_step: OnStep
) -> Summary | None:
    """Do the stage's work, with a folder in `stage.context` for what it can resume from.

    That folder outlives an attempt that is killed, and is removed once there is a result. Where
    several processes work together, all but the first return None.
    """
    scratch = str(_scratch(runtime, stage))
    stage = replace(stage, context={**stage.context, "scratch": scratch})
    return _work_of(runtime)(stage, inputs, out, on_step)


def _work_of(runtime: Runtime) -> Callable[..., Summary | None]:
    module, _, name = runtime.work.rpartition(".")
    work: Callable[..., Summary | None] = getattr(importlib.import_module(module), name)
    return work


def _scratch(runtime: Runtime, stage: Stage) -> Path:
    """In the store, if that is a folder that all nodes share, else on this node."""
    return Path(runtime.cache or runtime.root) / scratch_of(stage.key)


def _work(
    runtime: Runtime,
    stage: Stage,
    run: Run,
    begin: Begin,
) -> Work:
    def work(inputs: Mapping[str, Path], out: Path) -> Mapping[str, object]:
        run.begin(stage, inputs)
        begin(inputs, out)
        summary = execute(runtime, stage, inputs, out, run.step)
        assert summary is not None, "the first of several processes has the summary"
        return summary

    return work


def _close(run: Run, folder: Path) -> str:
    if not run.begun:
        return "reused"
    if read_json(folder / MANIFEST)["run_id"] != run.run_id:
        run.superseded()
        return "reused"
    run.finish(folder)
    return "trained"
