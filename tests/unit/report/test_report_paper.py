"""Figures and tables for papers: colours written out, keys in comments, bytes that do not vary."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from support.reports import study, trial

from lacuna.report import Results
from lacuna.report.figure import Panel
from lacuna.report.figures import named_panels
from lacuna.report.html.environment import HERE
from lacuna.report.paper import export
from lacuna.report.paper.drawn import draw
from lacuna.report.paper.painted import COLOURS, painted
from lacuna.report.paper.tables import latex, markdown
from lacuna.report.svg import Effect, forest_chart
from lacuna.report.table import make

HARD = "a_b & 50% of $x$ | {y} <z> ~^\\ #1"


def forest() -> Panel:
    rows = [Effect("one", "holds", 0.1, [0.0, 0.2]), Effect("two", "undetermined", None, None, "x")]
    return Panel("A title", forest_chart("t", "difference", rows, 0.05), [("holds", "holds")])


def test_a_drawing_needs_no_style_sheet_and_has_title_and_legend() -> None:
    drawing = painted(forest())
    assert not [one for one in drawing.iter() if "class" in one.attrib]
    assert {one.attrib["stroke"] for one in drawing.iter("line")} <= {
        "#5b6470", COLOURS["holds"]
    }  # fmt: skip
    (dot,) = drawing.iter("circle")
    assert dot.attrib["fill"] == COLOURS["holds"]
    words = [one.text for one in drawing.iter("text")]
    assert words[0] == "A title" and words[-1] == "holds" and "no value: x" in words
    assert all(one.attrib["fill"] for one in drawing.iter() if one.tag in ("rect", "text"))


def test_colours_are_those_of_the_page() -> None:
    light = (HERE / "style.css").read_text().partition("@media")[0]
    page = dict(re.findall(r"--(c\d): (#\w+)", light))
    assert {name: COLOURS[name] for name in page} == page


def test_every_figure_of_a_study_becomes_a_file_twice_the_same(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        files = export(study(), "svg", tmp_path / folder)
        assert [path.stem for path in files] == [name for name, _ in named_panels(study())]
    for path in files:
        assert path.read_bytes() == (tmp_path / "one/figures" / path.name).read_bytes()
        assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_png_and_pdf_show_it_and_tell_no_day(tmp_path: Path) -> None:
    drawing = painted(forest())
    for name in ("a.png", "b.png", "a.pdf", "b.pdf"):
        draw(drawing, tmp_path / name)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20) or ()}
    assert {(10, 125, 79), (179, 38, 30)} <= colours, "the effect, and what has no value"
    text = (tmp_path / "a.pdf").read_bytes()
    assert text.startswith(b"%PDF") and b"CreationDate" not in text


def hard() -> Results:
    return Results("x", {}, [trial(HARD, 1), trial("random", 1)])


def test_latex_says_what_was_written_and_where_it_comes_from() -> None:
    text = latex(make("main", hard()))
    assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == 1
    assert re.findall(r"\\(top|mid|bottom)rule", text) == ["top", "mid", "bottom"]
    escaped = (
        r"a\_b \& 50\% of \$x\$ \textbar{} \{y\} \textless{}z\textgreater{} "
        r"\textasciitilde{}\textasciicircum{}\textbackslash{} \#1"
    )
    rows = [line for line in text.splitlines() if escaped in line]
    assert rows and all(re.search(r" \\\\ % stages: \S{12}$", row) for row in rows)
    (sides,) = re.findall(r"begin\{tabular\}\{([lr]+)\}", text)
    plain = [re.sub(r"\\&", "", row.partition(" % ")[0]) for row in rows]
    assert {row.count("&") + 1 for row in plain} == {len(sides)}


def test_markdown_keeps_its_columns_whatever_a_name_holds() -> None:
    lines = markdown(make("main", hard())).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {table[0].count("|")}
    assert any(r"\<z\>" in line for line in table)
    assert lines[-1] == "-->" and "stages: " in lines[-2]


@pytest.mark.parametrize("form", ["md", "tex"])
def test_every_table_of_the_page_becomes_a_file(form: str, tmp_path: Path) -> None:
    names = [path.name for path in export(study(), form, tmp_path)]
    assert {f"main.{form}", f"models.{form}", f"beside.{form}"} <= {*names}
    assert f"failures.{form}" not in names, "it has no rows"
