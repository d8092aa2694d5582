"""The page in a real browser, started once: what a reader sees on a phone and on a desk."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import weight_reports
from support.browser import Page, browser
from support.needs import needs
from support.reports import failed_trial, study, trial
from support.tiny import tiny_model

from lacuna.audit.__main__ import main as audit
from lacuna.report import Results, render
from lacuna.significance import paired

SIZES = [(width, scheme) for width in (390, 768, 1400) for scheme in ("light", "dark")]
HOSTILE = (
    "</script><script>window.ran = 1</script>",
    '<img src="x" onerror="window.ran = 1">',
    "\" autofocus onfocus='window.ran = 1' x=\"",
    "</title></style></textarea><svg onload=window.ran=1>",
    "=1+1\u202egnihtemos\u202c \U0001f4a3 {{ 7 * 7 }}",
    "]]>//\nwindow.ran = 1",
)
LINKS = """[...document.querySelectorAll('a[href^="#"]')].map(a => a.getAttribute("href").slice(1))
    .filter(id => !document.getElementById(id))"""
EMPTY = """[...document.querySelectorAll("figure svg")]
    .filter(svg => svg.getBoundingClientRect().height < 40).length"""
SPILLED = """[...document.querySelectorAll("main *, header *")].filter(one =>
    one.closest(".scroll, pre") === null && one.getBoundingClientRect().right > innerWidth + 1)
    .map(one => one.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of studies of vectors and of weights, of one with failures and hostile names, of an audit."""
    root = tmp_path_factory.mktemp("pages")
    studies = {"vectors": study(), "weights": weight_reports.study(), "hostile": hostile()}
    for name, results in studies.items():
        render(results, root / name)
    model = tiny_model()
    model.save_pretrained(root / "before")
    with torch.no_grad():
        next(iter(model.parameters())).add_(0.01)
    model.save_pretrained(root / "after")
    words = ["--before", str(root / "before"), "--after", str(root / "after")]
    assert audit([*words, "--out", str(root / "audit")]) == 0
    found = {name: root / name / "report" / "index.html" for name in studies}
    return found | {"audit": root / "audit" / "index.html"}


def hostile() -> Results:
    """Everything that somebody else names is an attack; one seed of the true region failed."""
    stages = [
        trial(scenario, seed, objective=name)
        for name in HOSTILE
        for scenario in ("oracle", "random", name)
        for seed in (1, 2, 3)
    ]
    stages += [failed_trial("oracle", 4) | {"failed": "".join(HOSTILE)}]
    stages += [trial(scenario, seed) for scenario in ("oracle", "random") for seed in (1, 2, 3)]
    stages += [trial("random", 4)]
    config: dict[str, object] = dict.fromkeys(HOSTILE, HOSTILE[0])
    place = {"ratio": 0.1, "objective": "npo", "scenario_a": "oracle", "scenario_b": "random"}
    record = paired([0.9, 0.9, 0.9, None], [0.8, 0.9, 0.9, 0.9], [1, 2, 3, 4])
    return replace(
        study(),
        study="".join(HOSTILE),
        config=config,
        stages=stages,
        comparisons=[record | place | {"metric": "matched"}],  # type: ignore[list-item]
    )


@needs("browser")
@pytest.mark.parametrize("name", ["vectors", "weights", "hostile", "audit"])
def test_a_page_fits_its_window_and_says_nothing_on_the_console(
    name: str, tab: Page, pages: dict[str, Path]
) -> None:
    for width, scheme in SIZES:
        tab.said.clear()
        tab.open(pages[name], width, scheme)
        assert tab.value("document.documentElement.scrollWidth") <= width, (width, scheme)
        assert tab.value(SPILLED) == [], (width, scheme)
        assert tab.value(EMPTY) == 0
        dark = tab.value("getComputedStyle(document.body).backgroundColor")
        assert dark == ("rgb(20, 23, 26)" if scheme == "dark" else "rgb(255, 255, 255)")
        assert tab.said == []
    assert tab.value(LINKS) == []
    assert tab.value("document.querySelectorAll('table').length") >= 2


@needs("browser")
def test_what_others_wrote_is_text_and_runs_nowhere(tab: Page, pages: dict[str, Path]) -> None:
    tab.open(pages["hostile"], 1400, "light")
    assert tab.value("typeof window.ran") == "undefined"
    assert tab.value("document.images.length + document.scripts.length") == 1
    said = tab.value("document.body.textContent")
    for name in HOSTILE:
        assert said.count(name) > 5
    options = tab.value("[...document.querySelectorAll('option')].map(one => one.value)")
    assert {" ".join(name.split()) for name in HOSTILE} <= set(options)


@needs("browser")
def test_a_failed_trial_is_seen_wherever_its_cell_is(tab: Page, pages: dict[str, Path]) -> None:
    tab.open(pages["hostile"], 1400, "light")
    header = tab.value("document.querySelector('header').textContent")
    count = len({stage["key"] for stage in hostile().stages})
    assert f"1 of {count} stages failed: cells that need them read failed (k of n)" in header
    plain = "textContent.replace(/\\s+/g, ' ')"
    cells = tab.value(f"[...document.querySelectorAll('td')].map(one => one.{plain}.trim())")
    assert "failed (1 of 4) n=3, lr 0.03" in cells
    forest = tab.value("[...document.querySelectorAll('.forest text')].map(one => one.textContent)")
    assert "no value: 1 of 4 seeds" in forest
    costs = tab.value(f"document.querySelector('#work').parentElement.{plain}")
    assert f"trial {count} 0 0 0 1" in costs


@needs("browser")
def test_a_table_is_copied_as_markdown_latex_and_csv(tab: Page, pages: dict[str, Path]) -> None:
    tab.open(pages["hostile"], 1400, "light")
    tab.value("navigator.clipboard.writeText = async (words) => { window.copied = words }; 0")

    def copied(form: str) -> str:
        box = "document.querySelector('#main').parentElement.querySelector('.tools')"
        words = f"[...{box}.children].find(one => one.textContent === '{form}').click()"
        return str(
            tab.value(f"{words}; new Promise(done => setTimeout(() => done(window.copied)))")
        )

    rows = list(csv.reader(io.StringIO(copied("CSV"))))
    assert rows[0][:2] == ["objective", "measure"] and len({len(row) for row in rows}) == 1
    assert any(row[0].startswith("'=1+1") for row in rows)
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "@")]
    marked = copied("Markdown").splitlines()
    assert marked[1].startswith("| --- | --- |") and marked[0].startswith("| objective | measure")
    assert not [line for line in marked if "<script" in line.replace("\\<", "")]
    latex = copied("LaTeX")
    assert all(f"\\{rule}rule" in latex for rule in ("top", "mid", "bottom"))
    assert "\\textless{}script\\textgreater{}" in latex and "$\\pm$" in latex


@needs("browser")
def test_one_choice_filters_all_figures_and_tables(tab: Page, pages: dict[str, Path]) -> None:
    tab.open(pages["vectors"], 1400, "light")
    seen = (
        "[...document.querySelectorAll('polyline[data-seed]')].filter(one => one.checkVisibility())"
    )
    rows = "[...document.querySelectorAll('#models ~ * tr')].filter(row => !row.hidden).length"
    before, all_rows = tab.value(f"{seen}.length"), tab.value(rows)
    choose = """(() => { const select = [...document.querySelectorAll("label")]
        .find(one => one.textContent.startsWith("seed")).querySelector("select");
        select.value = "2"; select.dispatchEvent(new Event("change")); })()"""
    tab.value(choose)
    assert tab.value(f"[...new Set({seen}.map(one => one.dataset.seed))]") == ["2"]
    assert 0 < tab.value(f"{seen}.length") < before
    assert 0 < tab.value(rows) < all_rows


@needs("browser")
def test_a_mark_that_is_touched_says_its_value_below_the_figure(
    tab: Page, pages: dict[str, Path]
) -> None:
    tab.open(pages["vectors"], 390, "light")
    touch = """(() => { const point = document.querySelector("g[data-scenario=oracle] circle");
        point.dispatchEvent(new MouseEvent("click", { bubbles: true }));
        return point.closest("figure").querySelector("output").textContent })()"""
    assert tab.value(touch).startswith("oracle (n=3), seeds 1 2 3: ")


@needs("browser")
def test_without_script_everything_is_there(tab: Page, pages: dict[str, Path]) -> None:
    tab.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(pages["vectors"], 390, "light")
        assert tab.value("document.querySelectorAll('button, select').length") == 0
        assert tab.value("document.querySelectorAll('figure svg').length") > 5
        assert tab.value("document.documentElement.scrollWidth") <= 390
    finally:
        tab.ask("Emulation.setScriptExecutionDisabled", value=False)
