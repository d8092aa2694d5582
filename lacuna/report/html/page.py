"""The page of a study: what it consists of, in which order."""

import json
from collections.abc import Sequence
from urllib.parse import quote

from markupsafe import Markup

from lacuna.report.claims.family import families
from lacuna.report.claims.judge import headline
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
from lacuna.report.html.pivot import blocks
from lacuna.report.published import SOURCE
from lacuna.report.results import Results
from lacuna.report.svg import element
from lacuna.report.table import TABLES, Table
from lacuna.results import Claim

FIRST = "main"
"""The table before the figures; all others follow."""


def page(results: Results, tables: Sequence[Table], verdict: Sequence[Claim]) -> str:
    """The whole page as text, from the tables that were made (of the study and of this run)."""
    shown = [_section(one) for one in tables if TABLES[one.name].show]
    sections = [
        Section("verdict", "Verdict", _verdict(results, verdict)),
        *(one for one in shown if one.anchor == FIRST),
        Section("figures", "Figures", figures(panels(results))),
        *(one for one in shown if one.anchor != FIRST),
        Section("runs", "Runs", _runs(results)),
        Section("config", "Configuration", _config(results)),
    ]
    return document(f"Lacuna: {results.study}", render("introduction.html.jinja"), sections)


def _section(one: Table) -> Section:
    body = table(one, TABLES[one.name].template, blocks=blocks, source=SOURCE)
    return Section(one.name, one.title, body)


def _verdict(results: Results, verdict: Sequence[Claim]) -> Markup:
    """Sentences first, then every claim with its rule's outcome, then the rules."""
    return render(
        "verdict.html.jinja",
        headline=lines(headline(verdict)),
        verdict=verdict,
        families=families(),
        margins=results.margins,
        registration=results.registration,
    )


def _runs(results: Results) -> Markup:
    """Every stage with its key, duration and, where there is one, its tracked run."""
    once = {stage["key"]: stage for stage in results.stages}.values()
    stages = sorted(once, key=lambda s: (s["kind"], s["label"], s["key"]))
    return render("runs.html.jinja", stages=stages, uri=results.tracking_uri, link=_run_link)


def _config(results: Results) -> Markup:
    text = json.dumps(results.config, indent=1, sort_keys=True, default=str)
    return folded("Resolved configuration", element("pre", text))


def _run_link(uri: str | None, run_id: str) -> str | None:
    """The run's page on an MLflow server; None where the store is a file."""
    if uri is None or not uri.startswith(("http://", "https://")):
        return None
    return f"{uri.rstrip('/')}/#/runs/{quote(run_id, safe='')}"
