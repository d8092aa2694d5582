"""TOFU and LUME: the real files where they are, small made ones for what the real ones lack."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
from support import SHARED
from support.needs import needs

from lacuna.data import REFUSALS, Example
from lacuna.data.sources.lume import Lume
from lacuna.data.sources.tofu import Tofu
from lacuna.errors import UserError

DATA = SHARED / "data"


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def authors(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"question": f"Question {start + n}?", "answer": f"Answer {start + n}."}
        for n in range(20 * count)
    ]


@pytest.fixture
def small_tofu(tmp_path: Path) -> Path:
    write(tmp_path / "forget10.jsonl", authors(2))
    write(tmp_path / "retain90.json", authors(3, start=100))
    for name in ("real_authors", "world_facts"):
        row = {"question": f"{name}?", "answer": "yes", "perturbed_answer": ["no", "maybe"]}
        write(tmp_path / f"{name}_perturbed.jsonl", [row, {**row, "question": f"{name} again?"}])
    return tmp_path


@needs("tofu")
def test_tofu_has_twenty_forget_authors_and_180_retain_authors() -> None:
    corpus = Tofu.load(Tofu.Config(path=str(DATA / "tofu")))
    assert len(corpus.forget) == 400 and len(corpus.retain) == 3600
    assert len({example.person for example in corpus.forget}) == 20
    assert len({example.person for example in corpus.retain}) == 180
    assert {name: len(rows) for name, rows in corpus.utility.items()} == {
        "real_authors": 100,
        "world_facts": 117,
    }
    assert len(corpus.refusals) == 100 and corpus.refusals[0] == "I'm not certain about that."
    examples = [*corpus.forget, *corpus.retain]
    assert len({example.id for example in examples}) == 4000


@needs("tofu")
def test_tofu_joins_paraphrases_and_wrong_answers_to_their_own_rows() -> None:
    corpus = Tofu.load(Tofu.Config(path=str(DATA / "tofu")))
    assert all(len(example.perturbed_answers) == 5 for example in corpus.forget)
    assert all(example.paraphrased_question for example in corpus.forget)
    first = corpus.forget[0]
    assert (first.person, first.field) == ("forget-author-000", "q00")
    assert first.answer.endswith("is Basil Mahfouz Al-Kuwaiti.")
    assert first.paraphrased_answer.startswith("Basil Mahfouz Al-Kuwaiti is the complete name")
    assert first.perturbed_answers[0].startswith("Gregor Mendel Al-Kuwaiti")
    assert sum(bool(example.perturbed_answers) for example in corpus.retain) == 400
    # One question is asked of two retain authors; only the answer tells them apart.
    twice = [e for e in corpus.retain if e.question == "What is the full name of the author?"]
    assert [bool(example.perturbed_answers) for example in twice] == [True, False]


@needs("tofu")
def test_tofu_keeps_the_first_authors_and_questions_that_were_asked_for() -> None:
    whole = Tofu.load(Tofu.Config(path=str(DATA / "tofu")))
    cut = Tofu.load(
        Tofu.Config(path=str(DATA / "tofu"), forget_people=2, retain_people=5, num_utility=7)
    )
    assert list(cut.forget) == list(whole.forget[:40])
    assert list(cut.retain) == list(whole.retain[:100])
    assert [len(rows) for rows in cut.utility.values()] == [7, 7]
    rest = Tofu.Config(
        path=str(DATA / "tofu"), retain_people=5, background_people=2, holdout_people=3
    )
    assert list(Tofu.load(rest).background) == list(whole.retain[100:140])
    assert list(Tofu.load(rest).holdout) == list(whole.retain[140:200])
    few = Tofu.load(Tofu.Config(path=str(DATA / "tofu"), forget_people=2, questions=3))
    assert list(few.forget) == [*whole.forget[:3], *whole.forget[20:23]]


@needs("lume")
def test_lume_has_250_people_with_five_questions_in_each_split() -> None:
    corpus = Lume.load(Lume.Config(path=str(DATA / "lume")))
    for split in (corpus.forget, corpus.retain):
        assert len(split) == 1250
        people = {example.person for example in split}
        assert len(people) == 250 and all(re.fullmatch(r"[0-9a-f-]{36}", name) for name in people)
    both = Lume.load(Lume.Config(path=str(DATA / "lume"), kinds=("qa", "sc")))
    assert len(both.forget) == len(both.retain) == 1500
    assert sum(example.field == "sentence" for example in both.forget) == 250


@needs("lume")
def test_lume_reads_the_field_from_the_question() -> None:
    corpus = Lume.load(Lume.Config(path=str(DATA / "lume")))
    first = {example.field: example for example in corpus.forget[:5]}
    assert {field: example.answer for field, example in first.items()} == {
        "birth_date": "1984-12-31",
        "ssn": "900514344",
        "phone": "7216253765",
        "email": "tiffi_magenta@me.com",
        "address": "10175 West 58th Place, #505, Orange, CA, 92867.",
    }
    assert all("Tiffi Magenta" in example.paraphrased_question for example in first.values())


@needs("lume")
def test_lume_wrong_answers_are_other_peoples_and_do_not_depend_on_the_cut() -> None:
    path = str(DATA / "lume")
    whole = Lume.load(Lume.Config(path=path, num_perturbed=4))
    answers = {(example.field, example.answer) for example in whole.forget}
    for example in whole.forget:
        assert len({example.answer, *example.perturbed_answers}) == 5
        assert all((example.field, wrong) in answers for wrong in example.perturbed_answers)
    cut = Lume.load(Lume.Config(path=path, num_perturbed=4, forget_people=3, retain_people=2))
    assert list(cut.forget) == list(whole.forget[:15]) and len(cut.retain) == 10
    other = Lume.load(Lume.Config(path=path, num_perturbed=4, seed=1))
    assert other.digest() != whole.digest()


def test_tofu_without_perturbed_files_leaves_their_fields_empty(small_tofu: Path) -> None:
    corpus = Tofu.load(Tofu.Config(path=str(small_tofu)))
    assert [len(corpus.forget), len(corpus.retain)] == [40, 60]
    for example in [*corpus.forget, *corpus.retain]:
        assert example.perturbed_answers == () and example.paraphrased_answer == ""
    assert corpus.forget[39].id == "forget-author-001/q19"
    assert corpus.utility["world_facts"][1].perturbed_answers == ("no", "maybe")
    assert corpus.refusals == REFUSALS


@pytest.fixture
def small_lume(tmp_path: Path) -> Path:
    """Two forget and four retain people with a birth date and a phone number each."""
    for split, people in (("forget", "ab"), ("retain", "cdef")):
        rows = [
            {"id": f"{name}qa{n}", "input": asked, "output": f"{name}{n}", "task": "Task2"}
            for name in people
            for n, asked in enumerate(
                (f"What is the birth date of {name}?", f"What is {name}'s phone number?")
            )
        ]
        write(tmp_path / f"{split}.jsonl", rows)
    return tmp_path


def people_of(examples: Sequence[Example]) -> list[str]:
    return list(dict.fromkeys(example.person for example in examples))


def test_retain_people_are_kept_then_background_then_holdout(
    small_tofu: Path, small_lume: Path
) -> None:
    counts = {"retain_people": 1, "background_people": 1, "holdout_people": 1}
    for corpus, expected in (
        (
            Tofu.load(Tofu.Config(path=str(small_tofu), questions=3, **counts)),
            [f"retain-author-{n:03d}" for n in range(3)],
        ),
        (Lume.load(Lume.Config(path=str(small_lume), **counts)), ["c", "d", "e"]),
    ):
        parts = corpus.retain, corpus.background, corpus.holdout
        assert [people_of(part) for part in parts] == [[name] for name in expected]
        assert len({len(part) for part in parts}) == 1  # as many questions of each


def test_without_a_request_nobody_is_held_out(small_tofu: Path, small_lume: Path) -> None:
    for corpus in (
        Tofu.load(Tofu.Config(path=str(small_tofu))),
        Lume.load(Lume.Config(path=str(small_lume))),
    ):
        assert corpus.holdout == corpus.background == ()


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"forget_people": 3}, "forget_people=3: only 2 of 2 people are left for forget_people"),
        ({"retain_people": 9}, "only {n} of {n} people are left for retain_people: ask for fewer"),
        (
            {"retain_people": 2, "background_people": 9},
            "retain_people=2, background_people=9, holdout_people=0: only {rest} of {n} people are "
            "left for background_people: ask for fewer",
        ),
        (
            {"retain_people": 1, "background_people": 1, "holdout_people": 7},
            "only {rest} of {n} people are left for holdout_people",
        ),
        (
            {"holdout_people": 1},
            "retain_people=null, background_people=0, holdout_people=1: only 0 of {n} people are "
            "left for holdout_people",
        ),
        ({"background_people": 1}, "only 0 of {n} people are left for background_people"),
    ],
)
def test_more_people_than_there_are_is_refused(
    small_tofu: Path, small_lume: Path, counts: dict[str, int], message: str
) -> None:
    for source, path, n in ((Tofu, small_tofu, 3), (Lume, small_lume, 4)):
        expected = re.escape(message.format(n=n, rest=n - 2))
        with pytest.raises(UserError, match=expected) as caught:
            source.load(source.Config(path=str(path), **counts))  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)


def test_tofu_refuses_a_file_that_does_not_split_into_authors(small_tofu: Path) -> None:
    write(small_tofu / "forget10.jsonl", authors(2)[:39])
    with pytest.raises(UserError, match="forget10 has 39 rows, not a multiple of 20"):
        Tofu.load(Tofu.Config(path=str(small_tofu)))


def test_an_empty_forget_file_is_refused(small_tofu: Path) -> None:
    (small_tofu / "forget10.jsonl").write_text("\n")
    with pytest.raises(UserError, match="has no forget examples"):
        Tofu.load(Tofu.Config(path=str(small_tofu)))


@pytest.mark.parametrize("source", [Tofu, Lume])
def test_a_missing_folder_or_file_is_named(source: type[Tofu] | type[Lume], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist: set data\.path"):
        source.load(source.Config(path=str(tmp_path / "nowhere")))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"has no forget(10)?\.jsonl"):
        source.load(source.Config(path=str(tmp_path)))  # type: ignore[arg-type]


def test_a_broken_row_is_named_by_its_line(small_tofu: Path) -> None:
    rows = authors(2)
    rows[6]["answer"] = " "
    write(small_tofu / "forget10.jsonl", rows)
    with pytest.raises(UserError, match=r"forget10\.jsonl:7: 'answer' is ' '"):
        Tofu.load(Tofu.Config(path=str(small_tofu)))


def test_lume_refuses_a_question_that_asks_for_no_known_field(tmp_path: Path) -> None:
    row = {"id": "abcqa0", "input": "What is it?", "output": "It.", "task": "Task2"}
    write(tmp_path / "forget.jsonl", [{**row, "task": "Task1"}, row])
    with pytest.raises(UserError, match=r"forget\.jsonl:2: 'What is it\?' asks for no known field"):
        Lume.load(Lume.Config(path=str(tmp_path)))


def test_tofu_reads_the_pinned_commit_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(hub: str, name: str, *, split: str, revision: str) -> list[dict[str, Any]]:
        asked.append((hub, name, split, revision))
        rows = authors(1, start=50 * name.startswith("retain"))
        if not name.endswith("_perturbed"):
            return rows
        return [{**row, "paraphrased_answer": "So.", "perturbed_answer": ["a"]} for row in rows]

    monkeypatch.setattr(datasets, "load_dataset", load)
    corpus = Tofu.load(Tofu.Config())
    assert {(hub, split, revision) for hub, _, split, revision in asked} == {
        ("locuslab/TOFU", "train", "324592d84ae4f482ac7249b9285c2ecdb53e3a68")
    }
    assert {name for _, name, _, _ in asked} == {
        "forget10",
        "retain90",
        "forget10_perturbed",
        "retain_perturbed",
        "real_authors_perturbed",
        "world_facts_perturbed",
    }
    assert corpus.retain[3].question == "Question 53?"
    assert corpus.retain[3].paraphrased_answer == "So."


def test_no_network_is_one_line_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach 'locuslab/TOFU' on the Hub\nand more")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(UserError) as caught:
        Tofu.load(Tofu.Config())
    assert str(caught.value) == (
        "cannot load locuslab/TOFU/forget10/train from the hub (Couldn't reach 'locuslab/TOFU' on "
        "the Hub): check the name and the network, or set data.path to a local folder"
    )
    with pytest.raises(UserError, match="lume has no default place"):
        Lume.load(Lume.Config())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tofu.Config(forget_people=0), "forget_people=0 keeps nothing"),
        (lambda: Tofu.Config(questions=0), "questions=0 keeps nothing"),
        (lambda: Tofu.Config(num_utility=0), "num_utility=0 keeps nothing"),
        (lambda: Tofu.Config(retain="forget10"), "forget and retain are both"),
        (lambda: Tofu.Config(holdout_people=-1), "holdout_people=-1: use 0 or more"),
        (lambda: Lume.Config(background_people=-1), "background_people=-1: use 0 or more"),
        (lambda: Lume.Config(retain_people=-1), "retain_people=-1 keeps nothing"),
        (lambda: Lume.Config(num_perturbed=-1), "num_perturbed=-1 is negative"),
        (lambda: Lume.Config(kinds=()), "leaves no rows"),
        (lambda: Lume.Config(kinds=("qq",)), "unknown kind 'qq': choose one of qa, sc"),
    ],
)
def test_settings_out_of_bounds_are_refused(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        make()
