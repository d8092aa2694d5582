"""A study from start to end: plan, set up, search, test, compare, report."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import cast

from lacuna.artifacts import write_json
from lacuna.report import Results, headline, render
from lacuna.results import (
    ChoiceRecord,
    Failure,
    Result,
    Row,
    ScenarioComparison,
    ScenarioPair,
    SearchSummary,
    StageRow,
    StudyManifest,
    TrialSummary,
)
from lacuna.seeds import derive, numpy_generator
from lacuna.significance import METRICS, compare
from lacuna.significance.compare import Metric
from sweeps.config.schema import Study
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
    tracker.begin(asdict(config))
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


def _tracker(config: Study, artifacts: Path) -> Tracker:
    artifacts.mkdir(parents=True, exist_ok=True)
    uri = config.tracking_uri or f"sqlite:///{artifacts.absolute() / 'mlflow.db'}"
    return Tracker(uri, config.study, artifacts / "mlflow")


def _engine(config: Study, artifacts: Path, tracker: Tracker) -> Engine:
    return Engine(
        tracker,
        root=study_storage(config.store, artifacts),
        ray_folder=artifacts / "ray",
        address=config.address,
        cpus=config.resources.workers,
    )


def _run_stages(
    engine: Engine, planner: Planner, say: Say
) -> tuple[list[Stage], dict[Cell, Choice], list[ScenarioComparison]]:
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
        found: dict[Cell, dict[float, list[SearchSummary | Failure]]] = {cell: {} for cell in asked}
        for stage in stages:
            found[_cell(stage)].setdefault(_lr(stage), []).append(
                _search_result(results[stage.key])
            )
        for cell, tried in found.items():
            searches[cell].tell(tried)
        trials += stages
    choices = {
        cell: searches[cell].choice()
        if cell in searches
        else Choice(planner.rates.candidates(cell)[0], True, "given, not searched")
        for cell in planner.cells()
    }
    return trials, choices


def _cell_search(engine: Engine, planner: Planner, cell: Cell) -> Search:
    settings = planner.config.search
    rounds: RateSource = GridRates(planner.rates.candidates(cell))
    if settings.method == "optuna":
        low, high = planner.rates.bounds(cell)
        seed = derive(settings.seeds[0], "search") % 2**32
        searcher = engine.searcher(low, high, seed, startup=max(STARTUP, settings.round))
        rounds = SuggestedRates(searcher, low, high, settings.trials, settings.round)
    rungs = planner.rates.rungs(cell)
    return Search(rounds, settings.fs_low, settings.fs_high, rungs, settings.eta)


def _cell(trial: Stage) -> Cell:
    ratio, objective, scenario = Cell._fields
    return Cell(trial.param(ratio, float), trial.param(objective, str), trial.param(scenario, str))


def _lr(trial: Stage) -> float:
    return float(trial.param("train", dict)["lr"])


def _search_result(result: Result) -> SearchSummary | Failure:
    if "failed" in result:
        return result
    assert "purpose" in result and result["purpose"] == "search", "not a search trial"
    return result


def _test_result(result: Result) -> TrialSummary | Failure:
    if "failed" in result:
        return result
    assert "purpose" in result and result["purpose"] == "test", "not a test trial"
    return result


@dataclass(frozen=True)
class _ComparisonJob:
    """What one comparison needs: both scenarios' trials and a seed of its own."""

    a: list[TrialSummary | Failure]
    b: list[TrialSummary | Failure]
    metric: Metric
    rounds: int
    seed: int
    pair: ScenarioPair


def _comparison_jobs(
    planner: Planner, tests: Sequence[Stage], results: Mapping[str, Result]
) -> list[_ComparisonJob]:
    """Every scenario with the baseline, in every metric."""
    settings = planner.config.significance
    found: dict[Cell, list[TrialSummary | Failure]] = {}
    for stage in tests:
        found.setdefault(_cell(stage), []).append(_test_result(results[stage.key]))
    return [
        _ComparisonJob(
            a=found[cell],
            b=found[cell._replace(scenario=BASELINE)],
            metric=metric,
            rounds=settings.permutations,
            seed=settings.seed,
            pair={
                "ratio": cell.ratio,
                "objective": cell.objective,
                "scenario_a": cell.scenario,
                "scenario_b": BASELINE,
            },
        )
        for cell in found
        if cell.scenario != BASELINE and cell._replace(scenario=BASELINE) in found
        for metric in METRICS
    ]


def _compare(job: _ComparisonJob) -> ScenarioComparison:
    """One comparison, in a Ray task."""
    generator = numpy_generator(job.seed, job.metric, *job.pair.values())
    record = compare(job.a, job.b, job.metric, generator=generator, rounds=job.rounds)
    return {**record, **job.pair}


def _failed_lines(engine: Engine, stages: Sequence[Stage]) -> list[str]:
    """Each stage that failed by itself, with the reason; the rest only as a number."""
    unique = {stage.key: stage for stage in stages}
    failed = {key: stage for key, stage in unique.items() if "failed" in engine.results[key]}
    roots = [s for s in failed.values() if failed.keys().isdisjoint(s.inputs.values())]
    lines = [f"{stage.label}: {_reason(engine.results[stage.key])}" for stage in roots]
    if further := len(failed) - len(roots):
        lines.append(f"{further} more that need the above")
    return lines


def _reason(result: Result) -> str:
    assert "failed" in result, "a stage that did not fail has no reason"
    return result["failed"]


def _results(
    engine: Engine,
    planner: Planner,
    stages: Sequence[Stage],
    choices: Mapping[Cell, Choice],
    comparisons: Sequence[ScenarioComparison],
) -> Results:
    unique = {stage.key: stage for stage in stages}.values()
    rows = [row for stage in unique for row in _rows(engine, stage)]
    counts: dict[str, dict[str, int]] = {}
    for what, kinds in engine.counts.items():
        for kind, number in kinds.items():
            counts.setdefault(kind, {})[what] = number
    return Results(
        study=planner.config.study,
        config=asdict(planner.config),
        stages=rows,
        comparisons=comparisons,
        counts=counts,
        choices=[_choice_record(cell, choice) for cell, choice in choices.items()],
        tracking_uri=engine.runtime.place.uri,
        margins=planner.config.margins,
    )


def _rows(engine: Engine, stage: Stage) -> list[Row]:
    """The stage as the report reads it; a stage of several localizers has a row for each."""
    manifest, result = engine.store.manifest(stage.key), engine.results[stage.key]
    row: StageRow = {
        "key": stage.key,
        "label": stage.label,
        "tags": dict(stage.tags),
        "run_id": None if manifest is None else manifest["run_id"],
        "seconds": None if manifest is None else manifest["seconds"],
    }
    if "failed" in result:
        return [cast(Row, {**row, "kind": stage.kind, "failed": result["failed"]})]
    if "localizers" in result:
        shared = {"seed": result["seed"], "ratio": result["ratio"]}
        return [
            cast(Row, {**row, "kind": stage.kind, "summary": {**shared, **localizer}})
            for localizer in result["localizers"]
        ]
    return [cast(Row, {**row, "kind": stage.kind, "summary": result})]


def _choice_record(cell: Cell, choice: Choice) -> ChoiceRecord:
    return {
        "ratio": cell.ratio,
        "objective": cell.objective,
        "scenario": cell.scenario,
        "lr": choice.lr,
        "in_window": choice.in_window,
        "reason": choice.reason,
    }


def _write(
    results: Results, engine: Engine, planner: Planner, folder: Path, started: float, say: Say
) -> Path:
    """Tables, page and verdict, then the manifest: its presence means the report is whole."""
    (folder / "manifest.json").unlink(missing_ok=True)
    verdict = render(results, folder)
    keep(results, folder)
    manifest: StudyManifest = {
        "study": planner.config.study,
        "config": asdict(planner.config),
        "corpus": planner.stages.digest,
        "versions": dict(versions()),
        "hardware": hardware(),
        "seeds": {"test": planner.config.seeds, "search": planner.config.search.seeds},
        "stages": {row["key"]: row["label"] for row in results.stages},
        "seconds": {row["key"]: row["seconds"] for row in results.stages},
        "duration_seconds": round(time.time() - started, 1),
    }
    write_json(folder / "manifest.json", manifest)
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
