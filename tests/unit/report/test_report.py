"""The report as a whole: its files, its page, and that they depend on the study alone."""

import base64
import hashlib
import html
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from markupsafe import Markup
from support.reports import failed_trial, study, trial, written

from lacuna.report import Results, render
from lacuna.report.html import document
from lacuna.report.tables import tables


def test_two_renderings_in_different_places_are_byte_identical(tmp_path: Path) -> None:
    first = written(study(), tmp_path / "one")
    assert first == written(study(), tmp_path / "two" / "deeper")
    assert {"report/index.html", "report/work.csv", "verdict.json"} < first.keys()
    assert len([name for name in first if name.endswith(".csv")]) == 1 + len(tables(study()))


def test_tables_do_not_depend_on_stage_order_run_ids_or_what_was_reused(tmp_path: Path) -> None:
    one = study()
    shuffled = [s | {"run_id": "f00d", "seconds": 7.5} for s in reversed(one.stages)]
    other = replace(one, stages=shuffled, counts={"injected": {"planned": 2, "reused": 2}})
    first, second = written(one, tmp_path / "one"), written(other, tmp_path / "two")
    numbers = [name for name in first if not name.startswith("report/")]
    assert [first[name] for name in numbers] == [second[name] for name in numbers]
    assert first["report/index.html"] != second["report/index.html"]


def test_page_loads_nothing_and_links_only_to_the_tracking_server(tmp_path: Path) -> None:
    render(study(), tmp_path / "plain")
    plain = (tmp_path / "plain/report/index.html").read_text()
    assert "http" not in plain.replace('http-equiv="Content-Security-Policy"', "")
    one = study()
    stages = [s | {"run_id": "abc"} for s in one.stages]
    tracked = replace(one, stages=stages, tracking_uri="http://tracker:5000/")
    render(tracked, tmp_path / "tracked")
    page = (tmp_path / "tracked/report/index.html").read_text()
    assert 'href="http://tracker:5000/#/runs/abc"' in page
    assert not re.search(r"( src=|@import|url\(|<link)", page) and page.count("<script") == 1


def test_the_pages_policy_names_its_one_script_and_lets_nothing_else_run_or_load() -> None:
    page = document("x", Markup(""), [])
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert html.unescape(policy) == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def test_page_escapes_what_comes_from_outside(tmp_path: Path) -> None:
    stages = [trial("<img onerror='x'>", 1), failed_trial("oracle", 2) | {"failed": "<b>&</b>"}]
    render(Results("<script>alert(1)</script>", {"a": "</pre>"}, stages), tmp_path)
    page = (tmp_path / "report" / "index.html").read_text()
    text = page.partition("<script>")[0]
    assert not re.search(r"<script|<img|<b>", text) and text.count("</pre>") == 1
    assert "&lt;b&gt;&amp;&lt;/b&gt;" in page and "&lt;img onerror=&#39;x&#39;&gt;" in page


def test_page_draws_a_thin_line_per_seed_and_traces_cells_to_stages(tmp_path: Path) -> None:
    render(study(), tmp_path)
    page = (tmp_path / "report" / "index.html").read_text()
    # FS-RS, MU-FQ and relearn panels: 3 oracle seeds each; int8 has log-probabilities here too
    assert page.count('class="c0 thin"') == 4 * 3 and page.count('class="c0 bold"') == 4
    assert page.count('class="c0 thin" data-scenario="oracle" data-seed="2"') == 4
    assert "<title>oracle (n=3), seeds 1 2 3: 0.99 [0.99, 0.99] at 0.5</title>" in page
    keys = [s["key"][:12] for s in study().stages if s["tags"].get("scenario") == "oracle"][:3]
    assert f'title="stages: {" ".join(keys)}"' in page
    assert "0.92 ± 0.02<small> n=3, lr 0.03</small>" in page


def test_an_empty_study_still_renders(tmp_path: Path) -> None:
    assert render(Results("empty", {}, []), tmp_path) == []
    assert "No test trials." in (tmp_path / "report" / "index.html").read_text()


def test_page_is_well_formed_down_to_every_shape(tmp_path: Path) -> None:
    render(study(), tmp_path)
    text = (tmp_path / "report" / "index.html").read_text()
    root = ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))
    figures = root.findall(".//figure")
    # three families of the verdict; two curves, localizers and change by layer, two attacks
    assert len(figures) == 3 + 6
    for figure in figures:
        assert figure.findall(".//polyline") or figure.findall(".//rect")
        assert not [shape for shape in figure.iter("line") if len(shape)]
