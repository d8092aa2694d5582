"""Data as people have it: null where there is nothing, arrays, CSV, parquet, MUSE, RWKU, TOFU."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from lacuna.data.sources.jsonl import Jsonl, read_split
from lacuna.data.sources.muse import Muse
from lacuna.data.sources.rwku import Rwku
from lacuna.data.sources.table import Table
from lacuna.data.sources.tofu import Tofu
from lacuna.errors import UserError

ROWS: list[dict[str, Any]] = [
    {
        "split": split,
        "person": person,
        "field": field,
        "question": f"What is the {field} of {person}?",
        "answer": f'{field} {n}, "{person}"\nof 東京',
        "perturbed_answers": [f"{field} 8", f"{field}, 9"],
    }
    for n, (split, person) in enumerate([("forget", "Ada"), ("retain", "Ben"), ("holdout", "Cy")])
    for field in ("city", "job")
]
PLAIN = ("id", "person", "field", "split", "paraphrased_question", "paraphrased_answer")


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def as_csv(path: Path, rows: list[dict[str, Any]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        for row in rows:
            told = {**row, "perturbed_answers": json.dumps(row["perturbed_answers"])}
            writer.writerow(told)
    return path


def as_array(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return path


def as_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    Dataset.from_list(rows).to_parquet(str(path))
    return path


FORMS: dict[str, Callable[[Path, list[dict[str, Any]]], Path]] = {
    "f.jsonl": lines,
    "f.json": as_array,
    "f.csv": as_csv,
    "f.tsv": lambda path, rows: as_csv(path, rows, "\t"),
    "f.parquet": as_parquet,
}


@pytest.mark.parametrize("name", FORMS)
def test_a_table_of_any_form_is_the_same_corpus(name: str, tmp_path: Path) -> None:
    expected = Jsonl.load(Jsonl.Config(path=str(lines(tmp_path / "a" / "f.jsonl", ROWS))))
    path = FORMS[name](tmp_path / name, ROWS)
    corpus = Table.load(Table.Config(path=str(path)))
    assert corpus.digest() == expected.digest() and len(corpus.forget) == 2
    assert list(expected.forget) == read_split(path, "forget"), "and an audit reads the same"


@pytest.mark.parametrize("nothing", [None, "", "absent"])
def test_null_and_empty_are_as_if_the_key_were_absent(nothing: str | None, tmp_path: Path) -> None:
    asked = [{"question": row["question"], "answer": row["answer"]} for row in ROWS]
    asked[0]["split"] = "forget"
    blank = {} if nothing == "absent" else dict.fromkeys(PLAIN, nothing)
    hole = {} if nothing == "absent" else {"perturbed_answers": None if nothing is None else []}
    path = lines(tmp_path / "facts.jsonl", [{**blank, **hole, **row} for row in asked])
    corpus = Jsonl.load(Jsonl.Config(path=str(path)))
    assert [one.person for one in corpus.forget] == ["line-1"]
    assert all(one.paraphrased_question == "" == one.paraphrased_answer for one in corpus.retain)
    assert {one.perturbed_answers for one in corpus.retain} == {()}
    assert len(corpus.retain) == 5 and corpus.retain[0].id == "line-2/fact"


@pytest.mark.parametrize("value", [None, "", " ", 5, True, ["a"], {"a": 1}])
@pytest.mark.parametrize("key", ["question", "answer"])
def test_what_is_required_stays_strict(key: str, value: object, tmp_path: Path) -> None:
    path = lines(tmp_path / "f.jsonl", [*ROWS, {**ROWS[0], "field": "x", key: value}])
    with pytest.raises(UserError, match=rf":7: '{key}' is .* must be a non-empty string"):
        Jsonl.load(Jsonl.Config(path=str(path)))


def test_a_number_is_as_good_an_id_as_its_text(tmp_path: Path) -> None:
    told = [{**row, "id": n, "person": n // 2} for n, row in enumerate(ROWS)]
    corpus = Jsonl.load(Jsonl.Config(path=str(lines(tmp_path / "f.jsonl", told))))
    assert [(one.id, one.person) for one in corpus.forget] == [("0", "0"), ("1", "0")]
    told[3]["id"] = "0"
    with pytest.raises(UserError, match="id '0' is taken by"):
        Jsonl.load(Jsonl.Config(path=str(lines(tmp_path / "f.jsonl", told))))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("f.jsonl", json.dumps(ROWS), "f.jsonl:1: a JSON array, not JSON lines: data=table reads"),
        ("f.csv", "question,answer\na,b\n", "holds no JSON lines: data=table reads it"),
        ("f.jsonl", '{"question": ' + "[" * 100_000, "f.jsonl:1: JSON that cannot be read"),
        ("f.jsonl", '{"question": ' + "9" * 5000 + "}", "f.jsonl:1: JSON that cannot be read"),
        (
            "f.jsonl",
            '{"question": "a\\ud800", "answer": "b", "split": "forget"}',
            "'question' holds half a letter",
        ),
        ("f.jsonl", '{"question": "a", "answer": "b"}', 'no line has a split: add "split"'),
    ],
)
def test_a_file_that_is_no_json_lines_is_named(
    name: str, text: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        Jsonl.load(Jsonl.Config(path=str(tmp_path / name)))
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("f.csv", "question,answer,question\n", "must name each column, once"),
        ("f.csv", "question,answer\na,b,c\n", "f.csv:2: 3 cells under 2 names: put quotes"),
        ("f.csv", 'question,answer\n"a,b\n', "f.csv:2: unexpected end of data: save it as CSV"),
        ("f.csv", "question,answr,split\na,b,forget\n", "unknown key 'answr': did you mean"),
        ("f.csv", "question,answer,split\na,,forget\n", "f.csv:2: no 'answer'"),
        ("f.json", "[1]", "f.json:1: entry 1 is no object"),
        ("f.json", '[{"question": "a",]', "not valid JSON"),
        ("f.xlsx", "PK", "is none of .jsonl, .json, .csv, .tsv, .parquet"),
        ("f.parquet", "PAR1", "is not a readable parquet file"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(
    name: str, text: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        Table.load(Table.Config(path=str(tmp_path / name)))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def questions(start: int) -> list[dict[str, str]]:
    return [{"question": f"Who is {n}?", "answer": f"Person {n}."} for n in range(start, start + 4)]


@pytest.mark.parametrize("form", ["knowmem/{}.json", "knowmem/{}-00000-of-00001.parquet"])
def test_a_folder_of_muse_is_read_as_it_is_laid_out(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "MUSE-News"
    (folder / "knowmem").mkdir(parents=True)
    (folder / "raw").mkdir()
    for split, start in (("forget_qa", 0), ("retain_qa", 10), ("forget_qa_icl", 20)):
        path = folder / form.format(split)
        FORMS["f" + path.suffix](path, questions(start))
    corpus = Muse.load(Muse.Config(path=str(folder)))
    assert corpus.name == "muse-news" and len(corpus.forget) == len(corpus.retain) == 4
    assert (corpus.forget[1].question, corpus.retain[1].answer) == ("Who is 1?", "Person 11.")
    assert len({one.person for one in corpus.forget}) == 4


def test_a_folder_of_rwku_is_read_by_levels_and_subjects(tmp_path: Path) -> None:
    def probes(start: int, subject: str) -> list[dict[str, str]]:
        return [
            {"query": q["question"], "answer": q["answer"], "level": "2", "subject": subject}
            for q in questions(start)
        ]

    lines(tmp_path / "forget_level2.json", [*probes(0, "Ada"), *probes(4, "Ben")])
    lines(tmp_path / "forget_level3.json", probes(20, "Ada"))
    (tmp_path / "neighbor_level2").mkdir()
    as_array(tmp_path / "neighbor_level2" / "test.json", probes(30, "Ada"))
    corpus = Rwku.load(Rwku.Config(path=str(tmp_path)))
    assert {one.person for one in corpus.forget} == {"Ada", "Ben"} and len(corpus.forget) == 8
    assert len(corpus.retain) == 4
    both = Rwku.load(Rwku.Config(path=str(tmp_path), levels=(2, 3)))
    assert len(both.forget) == 12 and len(both.retain) == 4
    with pytest.raises(UserError, match=r"levels=\[3\]: choose from 1, 2 and 3"):
        Rwku.Config(levels=(3,))
    lines(tmp_path / "forget_level1.json", probes(40, "Ada"))
    with pytest.raises(UserError, match=r"has no neighbor_level1.jsonl"):
        Rwku.load(Rwku.Config(path=str(tmp_path), levels=(1, 2)))


@pytest.mark.parametrize("pair", [("forget05", "retain90"), ("forget10", "retain95")])
def test_splits_of_tofu_that_are_no_pair_are_refused_by_name(pair: tuple[str, str]) -> None:
    with pytest.raises(UserError, match=f"{pair[0]} and retain={pair[1]} are no pair: of TOFU's"):
        Tofu.Config(forget=pair[0], retain=pair[1])
    assert Tofu.Config(forget="forget01", retain="retain99").retain == "retain99"


def test_splits_of_tofu_that_are_no_pair_are_refused_by_what_they_hold(tmp_path: Path) -> None:
    """The file is called retain90 and is retain95."""
    told = [{"question": f"Q {n}?", "answer": f"A {n}."} for n in range(100)]
    lines(tmp_path / "forget10.jsonl", told[:40])
    lines(tmp_path / "retain90.jsonl", told[20:])
    for name in ("real_authors", "world_facts"):
        lines(tmp_path / f"{name}_perturbed.jsonl", [{"question": f"{name}?", "answer": "yes"}])
    with pytest.raises(UserError, match="20 facts of forget stand in retain too"):
        Tofu.load(Tofu.Config(path=str(tmp_path)))
