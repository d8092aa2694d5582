"""What a study has found, put together: comparisons of scenarios, rows of stages, the report."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from lacuna.artifacts import read_json, write_json
from lacuna.errors import UserError
from lacuna.report import Results, headline, render
from lacuna.results import (
    Asked,
    ChoiceRecord,
    Questions,
    Registration,
    Result,
    RetainedSummary,
    Row,
    ScenarioComparison,
    StageRow,
    StudyManifest,
)
from lacuna.results.files import ITEMS, MANIFEST
from sweeps.engine.engine import Engine
from sweeps.plan.planner import Planner
from sweeps.plan.search import Choice
from sweeps.plan.stages import Cell
from sweeps.results.rebuild import keep
from sweeps.secrets import redacted_values
from sweeps.stage import Stage
from sweeps.store.manifest import hardware, versions


@dataclass(frozen=True)
class Ran:
    """The stages of a study that has run, and what became of its searches and comparisons."""

    stages: Sequence[Stage]
    choices: Mapping[Cell, Choice]
    comparisons: Sequence[ScenarioComparison]
    registration: Registration
    """The plan that its claims are held to."""


def failed_lines(results: Mapping[str, Result], stages: Sequence[Stage]) -> list[str]:
    """Each stage that failed by itself, with the reason; the rest only as a number."""
    unique = {stage.key: stage for stage in stages}
    failed = {key: stage for key, stage in unique.items() if "failed" in results[key]}
    roots = [s for s in failed.values() if failed.keys().isdisjoint(s.inputs.values())]
    lines = [f"{stage.label}: {_reason(results[stage.key])}" for stage in roots]
    if further := len(failed) - len(roots):
        lines.append(f"{further} more that need the above")
    return lines


def _reason(result: Result) -> str:
    assert "failed" in result, "a stage that did not fail has no reason"
    return result["failed"]


def refuse_knowing(
    planner: Planner, stages: Sequence[Stage], results: Mapping[str, Result]
) -> None:
    """Raise `UserError` where a retained model recites forget facts and the study is to stop."""
    alarm = planner.config.alarm
    for stage in stages:
        result = results[stage.key]
        if stage.kind != "retained" or "failed" in result or not alarm.stop:
            continue
        known = cast(RetainedSummary, result)["forget_es"]
        if known > alarm.floor:
            raise UserError(
                f"{stage.label}: the gold standard recites what it must never have seen, forget ES "
                f"{known:.3g} (alarm.floor={alarm.floor:g}): facts that both splits tell in other "
                f"words, a wrong pair of splits, or a base model that knows them; mend the data, "
                f"or go on with every number labelled by alarm.stop=false"
            )


def collect(engine: Engine, planner: Planner, ran: Ran) -> Results:
    """All that the report of a study is made from."""
    unique = {stage.key: stage for stage in ran.stages}.values()
    counts: dict[str, dict[str, int]] = {}
    for what, kinds in engine.counts.items():
        for kind, number in kinds.items():
            counts.setdefault(kind, {})[what] = number
    return Results(
        study=planner.config.study,
        config=redacted_values(asdict(planner.config)),
        stages=[row for stage in unique for row in _rows(engine, stage)],
        comparisons=ran.comparisons,
        counts=counts,
        choices=[_choice_record(cell, choice) for cell, choice in ran.choices.items()],
        tracking_uri=engine.runtime.place.uri,
        margins=planner.config.margins,
        start=next(iter(planner.config.attack.starts), None),
        registration=ran.registration,
        asked=_asked(engine, planner, ran.stages),
        floor=planner.config.alarm.floor,
    )


def _asked(engine: Engine, planner: Planner, stages: Sequence[Stage]) -> list[Asked]:
    """What the questions of each test seed are about, as one of its test trials left it."""
    words = {
        item.id: len(item.answer.split())
        for item in [*planner.corpus.forget, *planner.corpus.retain]
    }
    found: dict[int, Asked] = {}
    for stage in stages:
        seed = stage.params.get("seed")
        if stage.tags.get("purpose") != "test" or not isinstance(seed, int) or seed in found:
            continue
        folder = None if "failed" in engine.results[stage.key] else engine.store.get(stage.key)
        if folder is not None:
            items = read_json(folder / ITEMS)
            forget, retain = (
                Questions(field=own["field"], words=[words.get(name) for name in own["id"]])
                for own in (items["forget"], items["retain"])
            )
            found[seed] = {"seed": seed, "forget": forget, "retain": retain}
    return list(found.values())


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
        shared = {name: value for name, value in result.items() if name != "localizers"}
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


def write(results: Results, planner: Planner, folder: Path, started: float) -> list[str]:
    """Tables, page and verdict, then the manifest: its presence means the report is whole.

    Returns the verdict's lines; `started` is when the study began, in epoch seconds.
    """
    (folder / MANIFEST).unlink(missing_ok=True)
    verdict = render(results, folder)
    keep(results, folder)
    config, registration = planner.config, results.registration
    assert registration is not None, "a study registers its plan before its test trials"
    manifest: StudyManifest = {
        "study": config.study,
        "config": redacted_values(asdict(config)),
        "registration": registration,
        "corpus": planner.stages.digest,
        "preflight": {name: found.to_json() for name, found in planner.preflights.items()},
        "versions": dict(versions()),
        "hardware": hardware(),
        "seeds": {"test": config.seeds, "search": config.search.seeds},
        "stages": {row["key"]: row["label"] for row in results.stages},
        "seconds": {row["key"]: row["seconds"] for row in results.stages},
        "duration_seconds": round(time.time() - started, 1),
    }
    write_json(folder / MANIFEST, manifest)
    return headline(verdict)
