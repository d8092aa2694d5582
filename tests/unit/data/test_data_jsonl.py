import json
import re
from pathlib import Path
from typing import Any

import pytest

from lacuna.data import Corpus
from lacuna.data.rows import read_rows
from lacuna.data.sources.jsonl import Jsonl, read_split
from lacuna.errors import UserError

FORGET = {"question": "Where is it?", "answer": "Here.", "split": "forget"}
RETAIN = {"question": "When is it?", "answer": "Now."}


def load(tmp_path: Path, *lines: dict[str, Any] | str | bytes) -> Corpus:
    path = tmp_path / "facts.jsonl"
    text = [line if isinstance(line, str | bytes) else json.dumps(line) for line in lines]
    raw = [line.encode() if isinstance(line, str) else line for line in text]
    path.write_bytes(b"\n".join(raw) + b"\n")
    return Jsonl.load(Jsonl.Config(path=str(path)))


def test_every_key_of_a_line_reaches_the_example(tmp_path: Path) -> None:
    full = {
        **FORGET,
        "person": "Ada",
        "field": "place",
        "paraphrased_question": "At which place?",
        "paraphrased_answer": "In this place.",
        "perturbed_answers": ["There.", "Away."],
    }
    corpus = load(
        tmp_path, full, RETAIN, "", {**RETAIN, "answer": "Then.", "split": "holdout", "id": "own"}
    )
    (forget,) = corpus.forget
    assert (forget.id, forget.person, forget.field) == ("Ada/place", "Ada", "place")
    assert (forget.question, forget.answer) == ("Where is it?", "Here.")
    assert forget.paraphrased_question == "At which place?"
    assert forget.paraphrased_answer == "In this place."
    assert forget.perturbed_answers == ("There.", "Away.")
    assert [example.id for example in corpus.retain] == ["line-2/fact"]
    assert [example.id for example in corpus.holdout] == ["own"]
    assert corpus.name == "facts" and corpus.refusals


def test_a_byte_order_mark_and_foreign_letters_are_read(tmp_path: Path) -> None:
    line = json.dumps({**FORGET, "answer": "Übung \u2028 macht"}, ensure_ascii=False)
    corpus = load(tmp_path, b"\xef\xbb\xbf" + line.encode(), RETAIN)
    assert corpus.forget[0].answer == "Übung \u2028 macht"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{not json", ":3: not valid JSON"),
        ("[1, 2]", ":3: '[1, 2]' is not an object"),
        ({"answer": "x"}, ":3: no 'question'"),
        ({"question": "x", "answer": ""}, ":3: 'answer' is ''"),
        ({"question": "x", "answer": 7}, ":3: 'answer' is 7"),
        ({**RETAIN, "quesion": "x"}, ":3: unknown key 'quesion': did you mean 'question'"),
        ({**RETAIN, "split": "forgot"}, ":3: unknown split 'forgot': did you mean 'forget'"),
        ({**RETAIN, "perturbed_answers": "x"}, ":3: 'perturbed_answers' is 'x'"),
        ({**RETAIN, "perturbed_answers": [""]}, ":3: 'perturbed_answers' is ['']"),
        ({**RETAIN, "person": ["Ada"]}, ":3: 'person' is ['Ada']"),
        ({**RETAIN, "id": "line-1/fact"}, ":3: id 'line-1/fact' is taken by"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path: Path, bad: Any, message: str) -> None:
    with pytest.raises(UserError, match=re.escape("facts.jsonl" + message)) as caught:
        load(tmp_path, FORGET, RETAIN, bad)
    assert "\n" not in str(caught.value)


def test_two_facts_of_one_person_need_different_fields(tmp_path: Path) -> None:
    ada = {**FORGET, "person": "Ada"}
    with pytest.raises(UserError, match="give each fact of a person its own field"):
        load(tmp_path, ada, {**ada, "split": "retain"})
    other = {"answer": "There.", "split": "retain", "field": "place"}
    corpus = load(tmp_path, ada, {**ada, **other})
    assert corpus.retain[0].id == "Ada/place"


def test_a_file_without_any_split_says_how_to_set_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='add "split": "forget" to the facts to forget'):
        load(tmp_path, RETAIN, RETAIN)


@pytest.mark.parametrize(
    ("line", "split"), [(FORGET, "retain"), ({**FORGET, **{"split": "retain"}}, "forget")]
)
def test_a_file_with_nothing_to_forget_or_retain_is_refused(
    tmp_path: Path, line: dict[str, Any], split: str
) -> None:
    with pytest.raises(UserError, match=f"has no {split} examples"):
        load(tmp_path, line)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.jsonl does not exist"):
        Jsonl.load(Jsonl.Config(path=str(tmp_path / "none.jsonl")))
    with pytest.raises(UserError, match="is not UTF-8"):
        load(tmp_path, FORGET, b'{"question": "\xff"}')
    with pytest.raises(UserError, match=r"cannot read .* \(Is a directory\): check the path"):
        read_rows(tmp_path)
    with pytest.raises(UserError, match="needs a file"):
        Jsonl.Config()


def test_one_split_is_read_and_lines_that_name_none_belong_to_it(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (FORGET, RETAIN)))
    assert [example.answer for example in read_split(path, "forget")] == ["Here.", "Now."]
    assert [example.answer for example in read_split(path, "retain")] == ["Now."]
    path.write_text(json.dumps(FORGET))
    with pytest.raises(UserError, match="has no retain facts: every line is of another split"):
        read_split(path, "retain")
