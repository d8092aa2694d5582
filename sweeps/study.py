"""A study from start to end: plan, set up, search, test, compare, report."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lacuna.artifacts import write_json
from lacuna.report import Margins, Results, headline, render
from lacuna.seeds import derive, numpy_generator
from lacuna.significance import METRICS, compare
from sweeps.engine.engine import Engine
from sweeps.paths import check_place
from sweeps.plan.planner import Planner
from sweeps.plan.search import STARTUP, Choice, GridRates, RateSource, Search, SuggestedRates
from sweeps.plan.stages import Cell
from sweeps.results.rebuild import keep
from sweeps.stage import Stage
from sweeps.store.manifest import hardware, versions
from sweeps.store.open import study_storage
from sweeps.tracking.runs import Tracker

Result = dict[str, Any]
Say = Callable[[str], None]
BASELINE = "random"
"""Every other scenario is compared with this one, if it is in the study."""


def run(planner: Planner, say: Say) -> list[str]:
    """Run the planned study; returns the labels of stages that failed, with reasons.

    Raises `UserError`, before anything is written, where its results may not be.
    """
    config, started = planner.config, time.time()
    check_place(config)
    artifacts = Path(config.artifacts)
    tracker = _tracker(config, artifacts)
    tracker.begin(planner.plain)
    tracker.catch_up(say)
    with _engine(config, artifacts, tracker) as engine:
        completed, report = False, None
        try:
            stages, choices, comparisons = _run_stages(engine, planner, say)
            results = _results(engine, planner, stages, choices, comparisons)
            failed = _failed_lines(engine, stages)
            report = _write(results, engine, planner, artifacts / config.study, started, say)
            completed = not failed
        finally:
            tracker.finish(engine.counts, failed=not completed, report=report)
            tracker.catch_up(say)
        say(_work_line(engine))
    return failed


def _tracker(config: DictConfig, artifacts: Path) -> Tracker:
    artifacts.mkdir(parents=True, exist_ok=True)
    uri = config.tracking_uri or f"sqlite:///{artifacts.absolute() / 'mlflow.db'}"
    return Tracker(uri, config.study, artifacts / "mlflow")


def _engine(config: DictConfig, artifacts: Path, tracker: Tracker) -> Engine:
    return Engine(
        tracker,
        root=study_storage(config.store, artifacts),
        ray_folder=artifacts / "ray",
        address=config.address,
        cpus=config.resources.workers,
    )


def _run_stages(
    engine: Engine, planner: Planner, say: Say
) -> tuple[list[Stage], dict[Cell, Choice], list[Result]]:
    setup = planner.setup()
    engine.expect(planner.samples())
    engine.run_tasks(setup, phase="models and regions")
    search, choices = _search(engine, planner)
    rates = {cell: choice.lr for cell, choice in choices.items() if choice.lr is not None}
    tests, controls = planner.tests(rates), planner.controls()
    engine.run_trials([*tests, *controls], phase="trials and attacks")
    comparisons = engine.map(_compare, _comparison_jobs(planner, tests, engine.results))
    return [*setup, *search, *tests, *controls], choices, comparisons


def _search(engine: Engine, planner: Planner) -> tuple[list[Stage], dict[Cell, Choice]]:
    """All search trials, all cells side by side in each round; and every cell's rate."""
    searches = {cell: _cell_search(engine, planner, cell) for cell in planner.searched()}
    trials: list[Stage] = []
    for number in count(1):
        asked = {cell: rates for cell, search in searches.items() if (rates := search.ask())}
        if not asked:
            break
        again = f", round {number}" if number > 1 else ""
        stages = planner.search(asked, {cell: searches[cell].steps for cell in asked})
        results = engine.run_trials(stages, phase=f"search for learning rates{again}")
        found: dict[Cell, dict[float, list[Result]]] = {cell: {} for cell in asked}
        for stage in stages:
            found[_cell(stage)].setdefault(_lr(stage), []).append(results[stage.key])
        for cell, tried in found.items():
            searches[cell].tell(tried)
        trials += stages
    choices = {
        cell: searches[cell].choice()
        if cell in searches
        else Choice(planner.candidates(cell)[0], True, "given, not searched")
        for cell in planner.cells()
    }
    return trials, choices


def _cell_search(engine: Engine, planner: Planner, cell: Cell) -> Search:
    settings = planner.config.search
    rounds: RateSource = GridRates(planner.candidates(cell))
    if settings.method == "optuna":
        low, high = planner.bounds(cell)
        seed = derive(settings.seeds[0], "search") % 2**32
        searcher = engine.searcher(low, high, seed, startup=max(STARTUP, settings.round))
        rounds = SuggestedRates(searcher, low, high, settings.trials, settings.round)
    rungs = planner.rungs(cell)
    return Search(rounds, settings.fs_low, settings.fs_high, rungs, settings.eta)


def _cell(trial: Stage) -> Cell:
    return Cell(*(trial.params[name] for name in Cell._fields))


def _lr(trial: Stage) -> float:
    return float(trial.params["train"]["lr"])


def _comparison_jobs(
    planner: Planner, tests: Sequence[Stage], results: Mapping[str, Result]
) -> list[Result]:
    """What the final Ray tasks need: both scenarios' summaries and a seed of their own."""
    settings = planner.plain["significance"]
    found: dict[Cell, list[Result]] = {}
    for stage in tests:
        found.setdefault(_cell(stage), []).append(results[stage.key])
    return [
        {
            "a": found[cell],
            "b": found[cell._replace(scenario=BASELINE)],
            "metric": metric,
            "rounds": settings["permutations"],
            "seed": settings["seed"],
            "labels": {
                "ratio": cell.ratio,
                "objective": cell.objective,
                "scenario_a": cell.scenario,
                "scenario_b": BASELINE,
            },
        }
        for cell in found
        if cell.scenario != BASELINE and cell._replace(scenario=BASELINE) in found
        for metric in METRICS
    ]


def _compare(job: Mapping[str, Any]) -> Result:
    """One comparison, in a Ray task."""
    labels = job["labels"]
    generator = numpy_generator(job["seed"], job["metric"], *labels.values())
    record = compare(job["a"], job["b"], job["metric"], generator=generator, rounds=job["rounds"])
    return {**record, **labels}


def _failed_lines(engine: Engine, stages: Sequence[Stage]) -> list[str]:
    """Each stage that failed by itself, with the reason; the rest only as a number."""
    unique = {stage.key: stage for stage in stages}
    failed = {key: stage for key, stage in unique.items() if "failed" in engine.results[key]}
    roots = [s for s in failed.values() if failed.keys().isdisjoint(s.inputs.values())]
    lines = [f"{stage.label}: {engine.results[stage.key]['failed']}" for stage in roots]
    if further := len(failed) - len(roots):
        lines.append(f"{further} more that need the above")
    return lines


def _results(
    engine: Engine,
    planner: Planner,
    stages: Sequence[Stage],
    choices: Mapping[Cell, Choice],
    comparisons: Sequence[Result],
) -> Results:
    rows = []
    for stage in {stage.key: stage for stage in stages}.values():
        manifest = engine.store.manifest(stage.key) or {}
        row = {
            "key": stage.key,
            "kind": stage.kind,
            "label": stage.label,
            "tags": dict(stage.tags),
            "run_id": manifest.get("run_id"),
            "seconds": manifest.get("seconds"),
        }
        result = engine.results[stage.key]
        rows += [{**row, **part} for part in _parts(stage, result)]
    counts: dict[str, dict[str, int]] = {}
    for what, kinds in engine.counts.items():
        for kind, number in kinds.items():
            counts.setdefault(kind, {})[what] = number
    return Results(
        study=planner.config.study,
        config=planner.plain,
        stages=rows,
        comparisons=comparisons,
        counts=counts,
        choices=[{**cell._asdict(), **asdict(choice)} for cell, choice in choices.items()],
        tracking_uri=engine.runtime.place.uri,
        margins=Margins(**planner.plain["margins"]),
    )


def _parts(stage: Stage, result: Result) -> list[Result]:
    """A stage's summary, or one per localizer where it holds several."""
    if "failed" in result:
        return [{"failed": result["failed"]}]
    if stage.kind != "localized":
        return [{"summary": result}]
    shared = {name: value for name, value in result.items() if name != "localizers"}
    return [{"summary": {**shared, **row}} for row in result["localizers"]]


def _write(
    results: Results, engine: Engine, planner: Planner, folder: Path, started: float, say: Say
) -> Path:
    """Tables, page and verdict, then the manifest: its presence means the report is whole."""
    (folder / "manifest.json").unlink(missing_ok=True)
    verdict = render(results, folder)
    keep(results, folder)
    write_json(
        folder / "manifest.json",
        {
            "study": planner.config.study,
            "config": planner.plain,
            "corpus": planner.digest,
            "versions": dict(versions()),
            "hardware": hardware(),
            "seeds": {"test": planner.plain["seeds"], "search": planner.plain["search"]["seeds"]},
            "stages": {row["key"]: row["label"] for row in results.stages},
            "seconds": {row["key"]: row["seconds"] for row in results.stages},
            "duration_seconds": round(time.time() - started, 1),
        },
    )
    for line in headline(verdict):
        say(line)
    say(f"report: {folder / 'report' / 'index.html'}")
    return folder


def _work_line(engine: Engine) -> str:
    trained = sum(engine.counts["trained"].values())
    reused = sum(engine.counts["reused"].values())
    if not trained and not engine.counts["failed"]:
        return f"nothing to train: all {reused} results were in the store"
    return (
        f"trained {trained} stages ({engine.counts['trained']['injected']} injections for "
        f"{engine.counts['planned']['injected']} distinct injection keys), reused {reused}"
    )
