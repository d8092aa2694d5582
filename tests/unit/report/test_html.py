"""The page: its heads say what columns hold, and whatever a study is called, it stays text."""

import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from support import weight_reports
from support.reports import Record, attack, failed_trial, localized, study, trial

from lacuna.report import Results, render
from lacuna.report.html import environment
from lacuna.report.table import TABLES

HOSTILE = [
    "<script>alert(1)</script>",
    "</style></title></pre><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x=\'',
    "{{ 7 * 7 }}{% raw %}",
    "\u202eevil\u202c & <b>bold</b> \U0001f4a3",
]
ATTRIBUTES = {
    "lang", "charset", "name", "content", "id", "class", "title", "href", "viewbox", "role",
    "aria-label", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "points", "transform",
    "text-anchor", "cx", "cy", "r", "http-equiv", "aria-labelledby", "scope", "data-name",
    "data-scenario", "data-seed", "data-ratio", "data-objective", "tabindex", "fill-opacity",
}  # fmt: skip
TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "nav", "a", "ul",
    "li", "div", "table", "tr", "th", "td", "small", "br", "span", "details", "summary", "pre",
    "figure", "strong", "figcaption", "i", "svg", "g", "line", "polyline", "rect", "circle",
    "text", "header", "main", "section", "script", "article", "code", "dl", "dt", "dd",
}  # fmt: skip


class Read(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.titles: list[str] = []
        self.text = ""
        self.scripts = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.scripts += tag == "script"
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.titles += [value or "" for name, value in attrs if tag == "th" and name == "title"]

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(results: Results, folder: Path) -> Read:
    render(results, folder)
    return Read((folder / "report" / "index.html").read_text())


def named(name: str) -> Results:
    """A study in which everything that somebody else names is called so."""
    other: Record = {"objective": name, "attacks": [attack(name, None, -6.0, -5.0)]}
    stages = [trial(scenario, seed, **other) for scenario in (name, "random") for seed in (1, 2, 3)]
    stages += [localized(name, seed, 0.5) for seed in (1, 2, 3)]
    stages.append(failed_trial(name, 4) | {"failed": name, "label": name})
    choice = {"ratio": 0.1, "objective": name, "scenario": "full", "lr": None, "in_window": False}
    return replace(
        study(),
        study=name,
        config={name: name},
        stages=[*study().stages, *(stage | {"run_id": name} for stage in stages)],
        choices=[choice | {"reason": name}],
        tracking_uri=f"javascript:{name}",
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_others_are_text_and_nothing_else(name: str, tmp_path: Path) -> None:
    found = page_of(named(name), tmp_path)
    assert found.tags <= TAGS
    assert found.attributes <= ATTRIBUTES
    assert found.scripts == 1
    assert {link[0] for link in found.links} == {"#"}
    assert found.text.count(name) > 10


def test_a_run_links_to_a_web_server_only(tmp_path: Path) -> None:
    stages = [stage | {"run_id": "a b/../<c>"} for stage in study().stages]
    for uri, links in (("http://host:5000/", True), ("javascript:alert(1)//", False)):
        tracked = replace(study(), stages=stages, tracking_uri=uri)
        found = [link for link in page_of(tracked, tmp_path).links if link[0] != "#"]
        assert set(found) == ({"http://host:5000/#/runs/a%20b%2F..%2F%3Cc%3E"} if links else set())


def test_every_column_that_is_shown_has_its_definition_in_its_head(tmp_path: Path) -> None:
    titles = set(page_of(weight_reports.study(), tmp_path).titles)
    for name in ("models", "causal", "attacks", "resurfacing", "precision"):
        rows = [row for row in TABLES[name].rows(weight_reports.study())]
        for column in TABLES[name].columns:
            if not column.hidden and any(row[column.name] not in (None, "", []) for row in rows):
                assert column.title in titles, (name, column.name)


def test_every_link_of_the_navigation_has_its_section(tmp_path: Path) -> None:
    found = page_of(study(), tmp_path)
    text = (tmp_path / "report/index.html").read_text()
    assert len(found.links) > 10
    for link in found.links:
        assert f'<h2 id="{link[1:]}">' in text


def test_a_template_that_uses_what_it_is_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'table' is undefined"):
        environment.render("table.html.jinja")


def test_the_style_sheet_has_a_colour_for_every_style_of_a_chart(tmp_path: Path) -> None:
    page_of(weight_reports.study(), tmp_path)
    text = (tmp_path / "report/index.html").read_text()
    used = set(re.findall(r'class="key (c\d)"', text))
    assert {"c0", "c1", "c2"} <= used
    assert all(f".{style} {{ --c: var(--{style}); }}" in text for style in used)
