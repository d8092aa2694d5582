"""A study from start to end: plan, set up, search, test, compare, report."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from sweeps.config.schema import Study
from sweeps.engine import ray_env
from sweeps.engine.engine import Engine
from sweeps.engine.rate_search import find_rates
from sweeps.paths import check_place, tracking_uri
from sweeps.plan.planner import Planner
from sweeps.results.collect import (
    Ran,
    collect,
    failed_lines,
    refuse_knowing,
    write,
)
from sweeps.results.comparisons import compare_scenarios, comparison_jobs
from sweeps.results.registration import plan_of, register
from sweeps.store.open import study_storage
from sweeps.tracking.runs import Tracker


def run(planner: Planner, say: Callable[[str], None]) -> list[str]:
    """Run the planned study; returns the labels of stages that failed, with reasons.

    Raises `UserError`, before anything is written, where its results may not be.
    """
    ray_env.end_on_sigterm()
    config, started = planner.config, time.time()
    check_place(config)
    folder = Path(config.artifacts) / config.study
    tracker = _tracker(config)
    tracker.begin(asdict(config))
    tracker.catch_up(say)
    with _engine(config, tracker) as engine:
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


def _tracker(config: Study) -> Tracker:
    root = Path(config.artifacts)
    root.mkdir(parents=True, exist_ok=True)
    return Tracker(tracking_uri(config.tracking_uri, root), config.study, root / "mlflow")


def _engine(config: Study, tracker: Tracker) -> Engine:
    root = Path(config.artifacts)
    return Engine(
        tracker,
        root=study_storage(config.store, root),
        ray_folder=root / "ray",
        address=config.address,
        cpus=config.resources.workers,
    )


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
    if engine.session.started:
        comparisons = engine.map(compare_scenarios, jobs)
    else:  # all was in the store: Ray would take longer to start than these take
        comparisons = [compare_scenarios(job) for job in jobs]
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
