"""The page of a study: what it consists of, in which order."""

import json
from collections.abc import Sequence
from urllib.parse import quote

from markupsafe import Markup

from lacuna.report.cells import finished, order, tag, trials
from lacuna.report.figures import panels
from lacuna.report.html.environment import (
    Section,
    document,
    figures,
    folded,
    lines,
    render,
    table,
)
from lacuna.report.html.pivot import blocks, cells
from lacuna.report.html.planted import planted
from lacuna.report.html.verdict import verdict_body
from lacuna.report.results import Results
from lacuna.report.svg import element
from lacuna.report.table import TABLES, Table
from lacuna.results import Claim, Row

FIRST = ("models", "causal", "main")
"""The tables before the figures; all others follow."""


def page(results: Results, tables: Sequence[Table], verdict: Sequence[Claim]) -> str:
    """The whole page as text, from the tables that were made (of the study and of this run)."""
    shown = {one.name: one for one in tables if TABLES[one.name].show}
    before = {"models": lines(planted(results)), "work": lines(cost(results))}
    section = {name: _section(one, before.get(name, Markup(""))) for name, one in shown.items()}
    sections = [
        Section("verdict", "Verdict", verdict_body(results, verdict, panels(results, "verdict"))),
        *(section[name] for name in FIRST if name in section),
        Section("figures", "Figures", figures(panels(results))),
        *(one for name, one in section.items() if name not in FIRST),
        Section("again", "Run it again", _again(results)),
        Section("runs", "Runs", _runs(results)),
        Section("config", "Configuration", _config(results)),
    ]
    return document(f"Lacuna: {results.study}", _introduction(results), sections)


def cost(results: Results) -> list[str]:
    """How long the stages took, whoever computed them, and how many have no result."""
    stages = _once(results)
    seconds = [stage["seconds"] for stage in stages if stage.get("seconds") is not None]
    if not seconds:
        return []
    hours = sum(second or 0.0 for second in seconds) / 3600
    failed = sum(not finished(stage) for stage in stages)
    return [
        f"{len(stages)} different stages, {failed} of them failed; those that have a duration took "
        f"{hours:.2f} hours one after another."
    ]


def _introduction(results: Results) -> Markup:
    """What the study is of, in a line, and whether anything failed."""
    done = trials(results.stages)
    named = {
        "objectives": sorted({tag(stage, "objective") for stage in done}, key=order),
        "scenarios": sorted({tag(stage, "scenario") for stage in done}, key=order),
        "ratios": sorted({tag(stage, "ratio") for stage in done}, key=order),
        "seeds": sorted({tag(stage, "seed") for stage in done}, key=order),
    }
    stages = _once(results)
    failed = sum(not finished(stage) for stage in stages)
    return render("introduction.html.jinja", named=named, failed=failed, stages=len(stages))


def _again(results: Results) -> Markup:
    """Commands that make all or part of it again."""
    done = trials(results.stages)
    part = (
        f"objectives=[{tag(done[0], 'objective')}] seeds=[{tag(done[0], 'seed')}]" if done else ""
    )
    return render("again.html.jinja", study=results.study, part=part)


def _once(results: Results) -> list[Row]:
    """Every stage once, by kind and label; one of several localizers has several rows."""
    once = {stage["key"]: stage for stage in results.stages}.values()
    return sorted(once, key=lambda s: (s["kind"], s["label"], s["key"]))


def _section(one: Table, before: Markup) -> Section:
    body = table(one, TABLES[one.name].template, blocks=blocks, cells=cells)
    return Section(one.name, one.title, before + body)


def _runs(results: Results) -> Markup:
    """Every stage with its key, duration and, where there is one, its tracked run."""
    stages, uri = _once(results), results.tracking_uri
    return render("runs.html.jinja", stages=stages, uri=uri, link=_run_link)


def _config(results: Results) -> Markup:
    text = json.dumps(results.config, indent=1, sort_keys=True, default=str)
    return folded("Resolved configuration", element("pre", text))


def _run_link(uri: str | None, run_id: str) -> str | None:
    """The run's page on an MLflow server; None where the store is a file."""
    if uri is None or not uri.startswith(("http://", "https://")):
        return None
    return f"{uri.rstrip('/')}/#/runs/{quote(run_id, safe='')}"
