"""TOFU and LUME as published, where their files are; test_data_files.py has small twins."""

import re

from support import SHARED
from support.needs import needs

from lacuna.data.sources.lume import Lume
from lacuna.data.sources.tofu import Tofu

DATA = SHARED / "data"


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
