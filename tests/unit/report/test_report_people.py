"""Person by person: means by hand, and names only of people whom nobody is."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.reports import Record, failed_trial, made, trial

from lacuna.report import Results, render

ASKED: list[Record] = [
    {"seed": seed, "forget": {"field": ["city", "phone"], "words": [1, 1]},
     "retain": {"field": ["city", "city"], "words": [1, 1]}}
    for seed in (1, 2)
]  # fmt: skip


def results(*stages: Record, data: str = "synthetic", **more: object) -> Results:
    done = stages or (trial("oracle", 1), trial("oracle", 2))
    config = {"seed": 1, "data": {"name": data}}
    return replace(Results("x", config, [*done], asked=ASKED), **more)  # type: ignore[arg-type]


def test_strengths_are_read_at_five_places_of_the_curve_and_averaged_over_seeds() -> None:
    lower = trial("oracle", 2, es_forget=[[0.8, 1.0], [0.3, 0.5], [0.0, 0.3]])
    ada, bob = made("people", results(trial("oracle", 1), lower))
    assert (ada["person"], ada["field"], ada["facts"], ada["n"]) == ("a", "city", 1, 2)
    assert ada["before"] == pytest.approx(0.9) and ada["after"] == 0
    assert ada["half"] == pytest.approx(0.4)
    assert (bob["person"], bob["field"]) == ("b", "phone")
    assert bob["after"] == pytest.approx(0.2)


def test_facts_of_one_person_and_field_are_one_row_and_random_regions_one_seed() -> None:
    same: Record = {"people_forget": ["a", "a"]}
    first, second = (trial("random", 1, region=region, **same) for region in (1, 2))
    (row,) = made("people", replace(results(first, second), asked=[]))
    assert (row["field"], row["facts"], row["n"]) == (None, 2, 1)
    assert row["after"] == pytest.approx(0.05)


@pytest.mark.parametrize("data", ["tofu", "jsonl"])
def test_people_of_real_data_are_numbered_unless_names_are_asked_for(data: str) -> None:
    assert [row["person"] for row in made("people", results(data=data))] == ["person 1", "person 2"]
    named = results(data=data, named=True)
    assert [row["person"] for row in made("people", named)] == ["a", "b"]
    nowhere = replace(results(), config={})
    assert [row["person"] for row in made("people", nowhere)] == ["person 1", "person 2"]


def test_a_failed_trial_blanks_the_values_of_its_cell() -> None:
    rows = made("people", results(trial("oracle", 1), failed_trial("oracle", 2)))
    assert {(row["status"], row["after"], row["n"]) for row in rows} == {
        ("failed (1 of 2)", None, 1)
    }


def test_the_page_has_a_folded_table_a_cell(tmp_path: Path) -> None:
    render(results(data="tofu"), tmp_path)
    page = (tmp_path / "report/index.html").read_text()
    assert '<details data-objective="npo" data-scenario="oracle" data-ratio="0.1">' in page
    assert "<td>person 1</td>" in page.replace(' class="text"', "") and ">a<" not in page
