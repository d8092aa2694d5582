"""A study from start to end: plan, set up, search, test, compare, report."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from sweeps.config.schema import Study
from sweeps.engine.engine import Engine
from sweeps.engine.local import LocalEngine
from sweeps.engine.rate_search import find_rates
from sweeps.paths import check_place, sqlite_path, tracking_uri
from sweeps.plan.planner import Planner
from sweeps.process import end_on_sigterm
from sweeps.results.collect import (
    Ran,
    collect,
    failed_lines,
    refuse_knowing,
    write,
)
from sweeps.results.comparisons import compare_scenarios, comparison_jobs
from sweeps.results.registration import plan_of, register
from sweeps.store.coordinator import adopt
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.store.open import folder_records, found_records, study_storage
from sweeps.store.storage import Storage
from sweeps.tracking.client import absolute_uri, reach
from sweeps.tracking.runs import Tracker, Untracked


def run(planner: Planner, say: Callable[[str], None]) -> list[str]:
    """Run the planned study; returns the labels of stages that failed, with reasons.

    Raises `UserError`, before anything is written, where its results may not be.
    """
    end_on_sigterm()
    config, started = planner.config, time.time()
    check_place(config)
    folder = Path(config.artifacts) / config.study
    tracker = open_tracker(config)
    tracker.begin(asdict(config))
    tracker.catch_up(say)
    with open_engine(config, tracker) as engine:
        completed, report = False, None
        try:
            ran = _run_stages(engine, planner, folder)
            failed = failed_lines(engine.results, ran.stages)
            for line in write(collect(engine, planner, ran), planner, folder, started):
                say(line)
            say(f"report: {folder / 'report' / 'index.html'}")
            completed, report = not failed, folder
        finally:
            tracker.finish(engine.counts, failed=not completed, report=report)
            tracker.catch_up(say)
        say(_work_line(engine))
    return failed


def open_tracker(config: Study) -> Tracker | Untracked:
    """Where runs are recorded; nowhere with `engine=local`."""
    if config.engine == "local":
        return Untracked()
    root = Path(config.artifacts)
    root.mkdir(parents=True, exist_ok=True)
    return Tracker(tracking_uri(config.tracking_uri, root), config.study, root / "mlflow")


def open_engine(config: Study, tracker: Tracker | Untracked) -> Engine:
    """The engine that was asked for, which finds what studies with the other one have published."""
    root = Path(config.artifacts)
    storage = study_storage(config.store, root)
    if isinstance(tracker, Untracked):
        local = LocalEngine(storage, folder_records(root))
        if (tracked := _tracked_records(config, storage)) is not None:
            adopt(tracked, local.store.coordinator)
        return local
    from sweeps.engine.on_ray.engine import RayEngine

    engine = RayEngine(
        tracker,
        root=storage,
        ray_folder=root / "ray",
        address=config.address,
        cpus=config.resources.workers,
    )
    if (untracked := found_records(storage, root)) is not None:
        adopt(untracked, engine.store.coordinator)
    return engine


def _tracked_records(config: Study, storage: Storage) -> MlflowCoordinator | None:
    """What the tracking store has on record, if there is one; nothing is made."""
    uri = tracking_uri(config.tracking_uri, Path(config.artifacts))
    database = sqlite_path(uri)
    if database is not None and not database.exists():
        return None
    return MlflowCoordinator(reach(absolute_uri(uri)), storage.identity())


def _run_stages(engine: Engine, planner: Planner, folder: Path) -> Ran:
    setup = planner.setup()
    engine.expect(planner.samples())
    engine.run_tasks(setup, phase="models and regions")
    refuse_knowing(planner, setup, engine.results)
    search, choices = find_rates(engine, planner)
    rates = {cell: choice.lr for cell, choice in choices.items() if choice.lr is not None}
    tests, controls = planner.tests(rates), planner.controls()
    known = engine.store.published([stage.key for stage in tests])
    registration = register(folder, plan_of(planner), known)
    engine.run_trials([*tests, *controls], phase="trials and attacks")
    jobs = comparison_jobs(planner.config.significance, tests, engine.results)
    comparisons = engine.map(compare_scenarios, jobs)
    return Ran([*setup, *search, *tests, *controls], choices, comparisons, registration)


def _work_line(engine: Engine) -> str:
    trained = sum(engine.counts["trained"].values())
    reused = sum(engine.counts["reused"].values())
    if not trained and not engine.counts["failed"]:
        return f"nothing to train: all {reused} results were in the store"
    return (
        f"trained {trained} stages ({engine.counts['trained']['injected']} injections for "
        f"{engine.counts['planned']['injected']} distinct injection keys), reused {reused}"
    )
