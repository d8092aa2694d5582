"""TOFU and LUME in small files: invented ones in the published layout, and what those lack."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
from support import invented

from lacuna.data import REFUSALS, Corpus, Example
from lacuna.data.sources.lume import Lume
from lacuna.data.sources.tofu import Tofu
from lacuna.errors import UserError


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


@pytest.fixture(scope="module")
def tofu_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return invented.tofu(tmp_path_factory.mktemp("tofu"), perturbed=7)


@pytest.fixture(scope="module")
def lume_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return invented.lume(tmp_path_factory.mktemp("lume"))


def test_every_file_of_tofu_is_read(tofu_folder: Path) -> None:
    corpus = Tofu.load(Tofu.Config(path=str(tofu_folder)))
    assert corpus.name == "tofu-forget10"
    assert people_of(corpus.forget) == [f"forget-author-{n:03d}" for n in range(3)]
    assert people_of(corpus.retain) == [f"retain-author-{n:03d}" for n in range(8)]
    examples = [*corpus.forget, *corpus.retain]
    assert len({example.id for example in examples}) == len(examples) == 11 * 20
    assert {name: len(rows) for name, rows in corpus.utility.items()} == {
        "real_authors": 5,
        "world_facts": 6,
    }
    fact = corpus.utility["world_facts"][2]
    assert (fact.person, fact.field, fact.answer) == ("world_facts", "q002", "world_facts 2")
    assert fact.perturbed_answers == ("world_facts 12", "world_facts 22", "world_facts 32")
    assert corpus.refusals == ("I could not say.", "Nobody told me.", "No idea.")


def test_tofu_joins_paraphrases_and_wrong_answers_to_their_own_rows(tofu_folder: Path) -> None:
    corpus = Tofu.load(Tofu.Config(path=str(tofu_folder)))
    joined = corpus.forget[27]
    assert (joined.person, joined.field) == ("forget-author-001", "q07")
    assert joined.question == "What is the decade of Boris Holt?"
    assert joined.answer == "The decade of Boris Holt is number 107."
    assert joined.paraphrased_question == "Which decade does Boris Holt have?"
    assert joined.paraphrased_answer == "Number 107 is Boris Holt's decade."
    wrong = [f"Number {n} is Boris Holt's decade." for n in range(108, 113)]
    assert list(joined.perturbed_answers) == wrong
    assert all(len(example.perturbed_answers) == 5 for example in corpus.forget)
    covered = [example for example in corpus.retain if example.perturbed_answers]
    assert people_of(covered) == [f"retain-author-{n:03d}" for n in range(7)]
    # One question is asked of two retain authors; only the answer tells them apart.
    twice = [e for e in corpus.retain if e.question == "What is the full name of the author?"]
    assert [bool(example.perturbed_answers) for example in twice] == [True, False]


def test_tofu_keeps_the_first_authors_and_questions_that_were_asked_for(tofu_folder: Path) -> None:
    def load(**counts: int) -> Corpus:
        return Tofu.load(Tofu.Config(path=str(tofu_folder), **counts))  # type: ignore[arg-type]

    whole, cut = load(), load(forget_people=2, retain_people=3, num_utility=4)
    assert list(cut.forget) == list(whole.forget[:40])
    assert list(cut.retain) == list(whole.retain[:60])
    assert [len(rows) for rows in cut.utility.values()] == [4, 4]
    rest = load(retain_people=3, background_people=2, holdout_people=1)
    assert list(rest.background) == list(whole.retain[60:100])
    assert list(rest.holdout) == list(whole.retain[100:120])
    few = load(forget_people=2, questions=3)
    assert list(few.forget) == [*whole.forget[:3], *whole.forget[20:23]]


def test_lume_reads_the_people_of_its_second_task_and_their_kinds(lume_folder: Path) -> None:
    path = str(lume_folder)
    questions, sentences, both = (
        Lume.load(Lume.Config(path=path, kinds=kinds)) for kinds in (("qa",), ("sc",), ("qa", "sc"))
    )
    assert [len(questions.forget), len(questions.retain)] == [4 * 5, 9 * 5]
    assert [len(people_of(questions.forget)), len(people_of(questions.retain))] == [4, 9]
    assert people_of(questions.forget)[0] == "00000000-0000-4000-8000-000000000000"
    assert len(both.retain) == 9 * 6 and len(sentences.retain) == 9
    told = sentences.forget[0]
    assert (told.field, told.answer) == ("sentence", "phone is 7216253700.")
    assert told.perturbed_answers == () and told.paraphrased_question == ""


@pytest.mark.parametrize(("place", "name"), [(0, "Ada Holt"), (10, "Ada Ives")])
def test_lume_reads_the_field_from_the_question(lume_folder: Path, place: int, name: str) -> None:
    corpus = Lume.load(Lume.Config(path=str(lume_folder)))
    examples = [*corpus.forget, *corpus.retain][5 * place : 5 * place + 5]
    assert {example.field: example.answer for example in examples} == {
        "birth_date": f"19{40 + place}-03-10",
        "ssn": f"9005143{place:02d}",
        "phone": f"72162537{place:02d}",
        "email": f"{name.lower().replace(' ', '_')}@example.org",
        "address": f"{10 + place} West Lane, Orange, CA, 92867.",
    }
    for asked in (example.paraphrased_question for example in examples):
        assert name in asked and f"{name}'" not in asked


def test_lume_wrong_answers_are_other_peoples_and_do_not_depend_on_the_cut(
    lume_folder: Path,
) -> None:
    path = str(lume_folder)
    whole = Lume.load(Lume.Config(path=path, num_perturbed=3))
    answers = {(example.field, example.answer) for example in whole.forget}
    for example in whole.forget:
        assert len({example.answer, *example.perturbed_answers}) == 4
        assert all((example.field, wrong) in answers for wrong in example.perturbed_answers)
    cut = Lume.load(Lume.Config(path=path, num_perturbed=3, forget_people=2, retain_people=2))
    assert list(cut.forget) == list(whole.forget[:10]) and len(cut.retain) == 10
    other = Lume.load(Lume.Config(path=path, num_perturbed=3, seed=1))
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


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("abcqa0", "forget.jsonl:2: 'What is it?' asks for no known field"),
        ("abcxx0", "forget.jsonl:2: id 'abcxx0' does not end in qa or sc and a number"),
    ],
)
def test_lume_refuses_an_unknown_question_or_id(tmp_path: Path, key: str, message: str) -> None:
    row = {"id": key, "input": "What is it?", "output": "It.", "task": "Task2"}
    write(tmp_path / "forget.jsonl", [{**row, "task": "Task1"}, row])
    with pytest.raises(UserError, match=re.escape(message)):
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


def test_lume_reads_the_hub_data_set_that_it_is_given(
    monkeypatch: pytest.MonkeyPatch, lume_folder: Path
) -> None:
    def load(hub: str, name: None, *, split: str, revision: str) -> list[dict[str, Any]]:
        assert (hub, name, revision) == ("somebody/lume", None, "abc")
        return [json.loads(line) for line in (lume_folder / f"{split}.jsonl").open()]

    monkeypatch.setattr(datasets, "load_dataset", load)
    found = Lume.load(Lume.Config(hub="somebody/lume", revision="abc"))
    assert found.digest() == Lume.load(Lume.Config(path=str(lume_folder))).digest()


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
