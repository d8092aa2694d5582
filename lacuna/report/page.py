"""The report's page: one file, no script, nothing loaded from elsewhere."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from lacuna.report.base import Results, Row, Table, plain
from lacuna.report.causal import FAILED as UNLOCALIZED
from lacuna.report.cells import Value
from lacuna.report.figures import figures
from lacuna.report.markup import Markup, element, escape, join
from lacuna.report.published import SOURCE
from lacuna.report.style import CSS
from lacuna.report.verdict import Claim, headline

LONG = frozenset({"reason", "statement", "choice", "published", "published_difference", "missing"})
HIDDEN = frozenset({"keys", "lo", "hi"})
TEXT = frozenset({"objective", "measure", "published", "claim", "verdict", "reason", "source"})
PLAIN = (
    "models", "causal", "comparisons", "localization", "precision", "attacks", "resurfacing",
    "leaked_overlap", "inspections", "search", "failures",
)  # fmt: skip
"""Tables shown as they are, those that a study has."""
DIGITS = 4
BREAK = "<br/>"


def page(results: Results, tables: Sequence[Table], work: Table, verdict: Sequence[Claim]) -> str:
    """The whole page as text."""
    by_name = {table.name: table for table in tables}
    sections: list[tuple[str, str, Markup]] = [
        ("verdict", "Verdict", verdict_section(verdict)),
        ("main", by_name["main"].title, main_section(by_name["main"])),
        ("figures", "Figures", figures(results.stages, by_name["localization_layers"])),
    ]
    for name in PLAIN:
        if name in by_name:
            sections.append((name, by_name[name].title, section(by_name[name])))
    sections += [
        ("published", by_name["published"].title, section(by_name["published"])),
        ("work", work.title, section(work)),
        ("runs", "Runs", runs_section(results)),
        ("config", "Configuration", config_section(results.config)),
    ]
    shown = [(anchor, title, body) for anchor, title, body in sections if body]
    return document(f"Lacuna: {results.study}", introduction(), shown)


def document(title: str, before: Markup, sections: Sequence[tuple[str, str, Markup]]) -> str:
    """A self-contained page: title, what stands before the links, then (anchor, title, body)."""
    links = [element("a", title, href=f"#{anchor}") for anchor, title, _ in sections]
    parts = [join([element("h2", title, id=anchor), body]) for anchor, title, body in sections]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(CSS)),
    )
    body = element("body", element("h1", title), before, element("nav", *links), *parts)
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def introduction() -> Markup:
    """How to read the page."""
    return element(
        "p",
        "n counts seeds unless a column says otherwise. A cell with a failed seed reads "
        "failed (k of n) and gives no mean. Point at a row or cell for the keys of the stages it "
        "comes from; every table lies in ../tables as CSV and JSON, the verdict in "
        "../verdict.json.",
        class_="note",
    )


def section(table: Table) -> Markup:
    """A table with its note; an empty one says so."""
    note = element("p", table.note, class_="note")
    if not table.rows:
        return join([note, element("p", "None.")])
    columns = [
        name
        for name in table.columns
        if name not in HIDDEN and any(plain(row.get(name)) for row in table.rows)
    ]
    head = element("tr", *(heading(name, table.rows) for name in columns))
    rows = [element("tr", *cells(row, columns), title=origin(row)) for row in table.rows]
    return join([note, scroll([head, *rows])])


def cells(row: Row, columns: Sequence[str]) -> list[Markup]:
    """One row's cells: numbers to the right, text to the left."""
    found = []
    for name in columns:
        value = row.get(name)
        style = "long" if name in LONG else "text" if isinstance(value, str) else None
        if isinstance(value, str) and value.startswith(("failed (", UNLOCALIZED)):
            style = "text failed"
        found.append(element("td", words(value, "; " if name in LONG else ", "), class_=style))
    return found


def words(value: Any, separator: str) -> str:
    """A value for people: fewer digits than in the files, room between members of a list."""
    if isinstance(value, (list, tuple)):
        return separator.join(plain(item, DIGITS) for item in value)
    return plain(value, DIGITS)


def heading(name: str, rows: Sequence[Row]) -> Markup:
    """A column's heading, on the side of its cells."""
    text = name in LONG or any(isinstance(row.get(name), str) for row in rows)
    return element("th", name.replace("_", " "), class_="text" if text else None)


def scroll(rows: Sequence[Markup]) -> Markup:
    """A table that scrolls on narrow screens."""
    return element("div", element("table", *rows), class_="scroll")


def origin(row: Row) -> str | None:
    """The title of a row or cell: the keys of its stages."""
    keys = row.get("keys")
    return f"stages: {' '.join(keys)}" if keys else None


def main_section(table: Table) -> Markup:
    """The main table as the paper prints it: scenarios side by side, published cells beside."""
    blocks: list[Markup] = [element("p", table.note, class_="note")]
    if not table.rows:
        return join([*blocks, element("p", "No test trials.")])
    for ratio in dict.fromkeys(row["ratio"] for row in table.rows):
        rows = [row for row in table.rows if row["ratio"] == ratio]
        blocks += [element("h3", f"ratio {plain(ratio)}"), pivot(rows)]
    told = f"Published: {SOURCE}; other models and data than this study's unless it says so."
    return join([*blocks, element("p", told, class_="note")])


def pivot(rows: Sequence[Row]) -> Markup:
    """Objective and measure down, scenarios across; then oracle - random."""
    scenarios = list(dict.fromkeys(row["scenario"] for row in rows))
    scenarios.sort(key=lambda name: (name not in ("random", "oracle"), name == "oracle", name))
    heads = ["objective", "measure", *scenarios]
    heads += ["|oracle - random|", "difference [95% interval]", "p sign-flip", "p published test"]
    sides = ["text" if name.split()[0] in TEXT else None for name in heads]
    cells = zip(heads, sides, strict=True)
    lines = [element("tr", *(element("th", name, class_=side) for name, side in cells))]
    for objective, measure in dict.fromkeys((row["objective"], row["measure"]) for row in rows):
        here = [row for row in rows if (row["objective"], row["measure"]) == (objective, measure)]
        by_scenario: dict[Value, list[Row]] = {name: [] for name in scenarios}
        for row in here:
            by_scenario[row["scenario"]].append(row)
        found = [element("td", objective, class_="text"), element("td", measure, class_="text")]
        found += [measured(by_scenario[name]) for name in scenarios]
        found += difference(next(iter(by_scenario.get("oracle", [])), {}))
        lines.append(element("tr", *found))
    return scroll(lines)


def measured(rows: Sequence[Row]) -> Markup:
    """One scenario's cell: mean +- sd, n and learning rate, a line per learning rate."""
    lines = []
    for row in rows:
        rate = "" if row["lr"] is None else f", lr {plain(row['lr'], DIGITS)}"
        tail = element("small", f" n={row['n']}{rate}")
        if row["status"] != "ok":
            lines.append(join([element("span", row["status"], class_="failed"), tail], " "))
        elif row.get("mean") is None:
            lines.append(join(["undefined", tail]))
        else:
            spread = "" if row["sd"] is None else f" ± {plain(row['sd'], 2)}"
            mark = f", {len(row['uncrossed'])} uncrossed" if row.get("uncrossed") else ""
            lines.append(
                join([f"{plain(row['mean'], DIGITS)}{spread}", tail, element("small", mark)])
            )
    labels = dict.fromkeys(filter(None, (row.get("checkpoint") for row in rows)))
    lines += [element("small", x, class_="failed") for x in labels if x.startswith(UNLOCALIZED)]
    printed = dict.fromkeys(text for row in rows for text in row.get("published") or ())
    title = " | ".join(filter(None, map(origin, rows)))
    return element("td", join([*lines, *map(beside, printed)], BREAK), title=title or None)


def beside(printed: str) -> Markup:
    """A published value under a measured one."""
    text = f"published {printed.replace('+-', '±')}"
    return element("small", text, class_="published")


def difference(row: Row) -> list[Markup]:
    """Four cells about oracle against random; dashes where they were not compared."""
    printed = [beside(text) for text in row.get("published_difference") or ()]
    if row.get("diff") is None:
        return [
            element("td", join(["–", *printed], BREAK)),
            *(element("td", "–") for _ in range(3)),
        ]
    spread = "" if row["abs_diff_sd"] is None else f" ± {plain(row['abs_diff_sd'], 2)}"
    interval = ""
    if row["diff_lo"] is not None:
        interval = f" [{plain(row['diff_lo'], 3)}, {plain(row['diff_hi'], 3)}]"
    bound = plain(row["p_min"], 3)
    texts = [
        join([f"{plain(row['abs_diff_mean'], 3)}{spread}", *printed], BREAK),
        f"{row['diff']:+.3g}{interval}",
        f"{plain(row['p_sign_flip'], 3)} (≥ {bound}, n={row['n']})",
        plain(row["p_published_test"], 3) or "–",
    ]
    return [element("td", text) for text in texts]


def verdict_section(verdict: Sequence[Claim]) -> Markup:
    """Sentences first, then every claim with its rule's outcome."""
    lines = element("ul", *(element("li", line) for line in headline(verdict)), class_="headline")
    names = ("claim", "verdict", "reason", "p sign-flip", "n", "margin", "source")
    sides = {name: "text" if name in TEXT else None for name in names}
    rows = [element("tr", *(element("th", name, class_=sides[name]) for name in names))]
    for claim in verdict:
        rows.append(
            element(
                "tr",
                element("td", claim["claim"], class_="text", title=claim["statement"]),
                element("td", claim["verdict"], class_=f"text {claim['verdict']}"),
                element("td", claim["reason"], class_="long"),
                element("td", plain(claim["p"], 3), title=claim["test"]),
                element("td", plain(claim["n"])),
                element("td", plain(claim["margin"])),
                element("td", claim["source"], class_="text"),
                title=origin(claim),
            )
        )
    note = (
        "holds, fails or undetermined by rules fixed beforehand: an interval within the margin is "
        "no difference, one that excludes 0 is a difference, anything else decides nothing. With "
        "n seeds the sign-flip p cannot go below 2/2^n. Nothing is corrected for the number of "
        "claims."
    )
    return join([element("p", note, class_="note"), lines, scroll(rows)])


def runs_section(results: Results) -> Markup:
    """Every stage with its key, duration and, where there is one, its tracked run."""
    names = ("kind", "label", "seconds", "key", "run")
    rows = [element("tr", *(element("th", name, class_="text") for name in names))]
    once = {stage["key"]: stage for stage in results.stages}.values()
    for stage in sorted(once, key=lambda s: (s["kind"], s["label"], s["key"])):
        rows.append(
            element(
                "tr",
                element("td", stage["kind"], class_="text"),
                element("td", stage["label"], class_="text"),
                element("td", plain(stage.get("seconds"), 3)),
                element("td", stage["key"][:12], class_="text", title=stage["key"]),
                element("td", run_link(results.tracking_uri, stage.get("run_id")), class_="text"),
            )
        )
    where = f"Tracked at {results.tracking_uri}." if results.tracking_uri else "Not tracked."
    return join([element("p", where, class_="note"), scroll(rows)])


def run_link(uri: str | None, run_id: str | None) -> Markup:
    """The run's page on an MLflow server; only its id where the store is a file."""
    if not run_id:
        return Markup("–")
    if uri and uri.startswith(("http://", "https://")):
        return element("a", run_id, href=f"{uri.rstrip('/')}/#/runs/{quote(run_id)}")
    return escape(run_id)


def config_section(config: Mapping[str, Any]) -> Markup:
    """The resolved configuration, folded."""
    text = json.dumps(config, indent=1, sort_keys=True, default=str)
    return element("details", element("summary", "Resolved configuration"), element("pre", text))
