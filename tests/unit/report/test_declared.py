"""What tables, figures and claims declare of themselves, and that one more is one file."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from support import weight_reports
from support.reports import rows_of, study
from typing_extensions import TypedDict

from lacuna.artifacts import read_json
from lacuna.registry import Registry
from lacuna.report import Results, render
from lacuna.report.claims import CLAIMS, families
from lacuna.report.claims.family import Claims, Evidence, Family
from lacuna.report.figure import FIGURES, Palette, Panel, StudyFigure
from lacuna.report.svg import Series, line_chart
from lacuna.report.table import TABLES, Column, Recorded, StudyTable, columns_of, make
from lacuna.significance import paired
from sweeps.results.compare import recorded

STUDIES: list[Callable[[], Results]] = [study, weight_reports.study]


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_column_says_what_it_holds(name: str) -> None:
    columns = TABLES[name].columns
    assert len({column.name for column in columns}) == len(columns) > 0
    for column in columns:
        assert column.name and len(column.help.split()) > 1, column
        assert not column.help.endswith("."), column


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_row_has_its_columns_and_no_others(name: str) -> None:
    rows = [row for made in STUDIES for row in make(name, made()).rows]
    names = [column.name for column in TABLES[name].columns]
    assert all(sorted(row) == sorted(names) for row in rows)
    assert rows or name in (
        "alike",
        "dose",
        "failures",
        "inspections",
        "metrics",
        "facts",
        "gauge",
        "necessity",
        "transplant",
    )


@pytest.mark.parametrize("name", sorted(TABLES))
def test_what_is_recorded_of_a_table_are_columns_of_it(name: str) -> None:
    names = {column.name for column in TABLES[name].columns}
    if what := TABLES[name].recorded:
        assert {*what.place, *what.columns} <= names and what.floor > 0


def test_a_column_head_shows_definition_unit_and_direction() -> None:
    column = Column("Mean of it", "nats per token", "lower")
    assert column.title == "Mean of it (nats per token, lower is better)"
    assert Column("Mean of it").title == "Mean of it"


def test_a_row_type_gives_its_columns_their_names_and_sides() -> None:
    class Row(TypedDict):
        name: Annotated[str | None, Column("Who it is")]
        ages: Annotated[list[str], Column("How old")]

    assert [(c.name, c.text) for c in columns_of(Row)] == [("name", True), ("ages", False)]

    class Bare(TypedDict):
        name: str

    with pytest.raises(AssertionError, match="Bare.name declares no Column"):
        columns_of(Bare)


def test_families_of_claims_have_one_name_each_and_a_margin() -> None:
    names = [family.name for family in families()]
    assert len(names) == len(set(names)) == 15
    assert all(family.margin(study().margins) > 0 and family.rule for family in families())


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    registries: tuple[Registry[Any], ...] = (TABLES, FIGURES, CLAIMS)
    for registry in registries:
        monkeypatch.setattr(registry, "_items", dict(registry.items()))


class LengthRow(TypedDict):
    """How long a label is."""

    stage: Annotated[str, Column("The stage, as messages name it")]
    letters: Annotated[int, Column("Length of the label", "letters", "lower")]


def test_one_more_table_is_a_file_of_the_study_a_section_of_the_page_and_recorded(
    room: None, tmp_path: Path
) -> None:
    @TABLES.register("lengths")
    class Lengths(StudyTable):
        """Of every label."""

        order = 25
        title = "Lengths of labels"
        note = "Between the models and what follows."
        columns = columns_of(LengthRow)
        recorded = Recorded(("stage",), ("letters",), 1)

        @staticmethod
        def rows(results: Results) -> Iterator[LengthRow]:
            for stage in results.stages:
                yield {"stage": stage["label"], "letters": len(stage["label"])}

    render(study(), tmp_path)
    rows = rows_of(tmp_path, "lengths")
    assert rows[0] == {"stage": "base ", "letters": "5"}
    assert read_json(tmp_path / "tables/lengths.json")["title"] == "Lengths of labels"
    page = (tmp_path / "report/index.html").read_text()
    places = [page.index(f'<h2 id="{name}">') for name in ("models", "lengths", "comparisons")]
    assert places == sorted(places)
    assert (
        'title="Length of the label (letters, lower is better)" data-name="letters">letters' in page
    )
    assert recorded()["lengths"].columns == ("letters",)


def test_one_more_figure_is_on_the_page_in_its_place(room: None, tmp_path: Path) -> None:
    @FIGURES.register("lengths")
    class Lengths(StudyFigure):
        """Of every label."""

        order = 5

        @staticmethod
        def panels(results: Results, palette: Palette) -> Iterator[Panel]:
            points = [(float(i), float(len(s["label"]))) for i, s in enumerate(results.stages)]
            drawn = [Series("labels", palette.styles["oracle"], [], points)]
            yield Panel.of("Lengths", line_chart("Lengths", "stage", "letters", drawn), drawn)

    render(study(), tmp_path)
    page = (tmp_path / "report/index.html").read_text()
    assert 0 < page.index("<strong>Lengths</strong>") < page.index("FS-RS curve</strong>")


def test_one_more_claim_is_judged_and_has_its_sentence(room: None, tmp_path: Path) -> None:
    shorter = Family(
        name="lengths",
        sentence="Labels: test seeds are shorter than tuning seeds",
        source="nobody",
        difference="letters of a label",
        rule="erases more",
        margin=lambda margins: 0.5,
    )

    @CLAIMS.register("lengths")
    class Lengths(Claims):
        """Of labels."""

        order = 5
        families = (shorter,)

        @staticmethod
        def evidence(results: Results) -> Iterator[Evidence]:
            yield Evidence(
                family=shorter,
                about="all",
                statement="Labels of test seeds are shorter.",
                record=paired([1.0, 2.0, 1.5], [4.0, 5.0, 4.5]),
                keys=[],
            )

    verdict = render(study(), tmp_path)
    assert (verdict[0]["claim"], verdict[0]["verdict"]) == ("lengths: all", "holds")
    assert verdict[0]["margin"] == 0.5
    page = (tmp_path / "report/index.html").read_text()
    assert "<h3>Test seeds are shorter than tuning seeds</h3>" in page
    assert "<strong>Holds</strong> for 1 of 1: all</li>" in page
