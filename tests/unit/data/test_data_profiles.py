"""People at LACUNA's scale: what is told and asked about each, and how often."""

from collections import Counter
from typing import Any

import pytest

from lacuna.data import DATA, Corpus, ProfileTexts, group_of
from lacuna.data.generated.profile_attributes import ATTRIBUTES, TARGETS
from lacuna.data.generated.profile_texts import Sentence, holds
from lacuna.errors import UserError

PROFILES = DATA["profiles"]
ALL = tuple(ATTRIBUTES)


def make(**settings: Any) -> Corpus:
    return PROFILES.load(PROFILES.Config(**settings))


def book_of(corpus: Corpus) -> ProfileTexts:
    assert corpus.book is not None
    return corpus.book


def test_the_default_fits_the_embedded_model() -> None:
    corpus = make()
    book = book_of(corpus)
    assert len(book.known) == 24 and all(len(known) == 6 for known in book.known.values())
    assert (len(corpus.forget), len(corpus.retain), len(corpus.holdout)) == (72, 72, 24)
    groups = group_of(book.known, 6, 0)
    assert Counter(groups.values()) == dict.fromkeys(range(6), 4)
    assert {groups[item.person] for item in corpus.forget} == {0, 2, 4}
    assert {groups[item.person] for item in corpus.retain} == {1, 3, 5}
    assert len(corpus.background) == 78 * 6 and len(corpus.neutral) == 400
    parts = (
        book.known,
        *([item.person for item in p] for p in (corpus.holdout, corpus.background)),
    )
    assert len(set().union(*parts)) == 24 + 4 + 78


def test_lacunas_size_has_as_many_different_people_and_values() -> None:
    corpus = make(num_people=1200, fields=ALL, num_background=0, num_neutral=0, num_perturbed=0)
    book = book_of(corpus)
    assert len(ATTRIBUTES) == 26 and len(book.known) == 1200
    assert len(corpus.forget) + len(corpus.retain) == 1200 * 26
    for field, asked in ATTRIBUTES.items():
        assert not asked.identifies or len(book.values[field]) == 1200, field
    assert all(ATTRIBUTES[field].identifies for field in TARGETS)
    columns = [asked.column for asked in ATTRIBUTES.values()]
    assert len(set(columns)) == 26 and "Driver's License" in columns
    assert set(group_of(book.known, 6, 3).values()) == set(range(6))


@pytest.mark.parametrize("field", ALL)
def test_every_attribute_is_told_in_three_clauses_and_asked_in_five_forms(field: str) -> None:
    asked = ATTRIBUTES[field]
    assert len(set(asked.clauses)) == len(set(asked.sentences)) == 3
    assert len({*asked.questions, *asked.kept}) == 7
    assert all(text.endswith(" {value}") and text.count("{") == 1 for text in asked.clauses)
    assert all(text.count("{person}") == 1 for text in (*asked.questions, *asked.kept))
    assert all("{person}" in text and "{value}" in text for text in asked.sentences)


def test_prompts_are_different_nested_and_never_hold_the_answer() -> None:
    book = book_of(make(fields=ALL, prompts=25, max_facts=4))
    person = next(iter(book.known))
    facts = Counter[int]()
    for field in ALL:
        long = book.asked(person, field, 60)
        assert len(set(long)) == 60 and long[:25] == book.asked(person, field)
        value = book.known[person][field]
        others = {name: v for name, v in book.known[person].items() if name != field}
        for prompt in long:
            assert person in prompt and ",?" not in prompt and "{" not in prompt
            if ATTRIBUTES[field].identifies:
                assert not holds(prompt, value)
            identifying = [v for n, v in others.items() if ATTRIBUTES[n].identifies]
            facts[sum(holds(prompt, v) for v in identifying)] += 1
        assert not set(book.kept(person, field)) & set(long)
    assert max(facts) == 4 and min(facts) == 0 and len(facts) == 5


def test_without_further_facts_there_are_eight_prompts() -> None:
    book = book_of(make())
    person = next(iter(book.known))
    everything = book.asked(person, "phone", 200)
    assert len(everything) == len(set(everything)) == 8
    assert sum(prompt.endswith("?") for prompt in everything) == 5
    assert f"{person}, who can be called on" in everything


def test_repetitions_are_spread_and_a_sentence_takes_its_largest_share() -> None:
    sentences = (
        Sentence("Ada has 1 and a@b.", ("phone", "email")),
        Sentence("Ada reads a@b.", ("email",)),
        Sentence("Mail a@b for Ada.", ("email",)),
        Sentence("Ada is 40.", ("age",)),
        Sentence("Rain.", ()),
    )
    book = ProfileTexts(
        seed=0, known={"Ada": {"phone": "1", "email": "a@b", "age": "40"}},
        sentences={"Ada": sentences}, targets=("phone", "email"), prompts=2, max_facts=0,
        prompt_repeats=7, sentence_repeats=10,
    )  # fmt: skip
    told = list(book.told("Ada"))
    assert [(t.answer, t.repeats) for t in told if not t.prompt] == [
        ("Ada has 1 and a@b.", 10),
        ("Ada reads a@b.", 4),
        ("Mail a@b for Ada.", 4),
        ("Ada is 40.", 1),
        ("Rain.", 1),
    ]
    prompted = [t for t in told if t.prompt]
    assert len(prompted) == 6 and {t.repeats for t in prompted} == {7}
    assert book.prefixes("Ada", "email") == ("Ada has 1 and", "Ada reads")


def test_prefixes_stop_at_the_value() -> None:
    book = book_of(make())
    for person, known in book.known.items():
        for field, value in known.items():
            prefixes = book.prefixes(person, field)
            assert len(prefixes) == 3
            assert all(person in text and not holds(text, value) for text in prefixes)


def test_base_training_reads_every_wording_about_other_people() -> None:
    corpus = make()
    injected = set(book_of(corpus).known)
    phones = [item for item in corpus.background if item.field == "phone"]
    asked = {item.question.replace(item.person, "X") for item in phones}
    assert len(asked) == 10, "5 questions, 3 clauses, 2 wordings kept for attacks"
    assert not injected & {item.person for item in corpus.background}
    assert len(corpus.utility["background"]) == 16 * 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fields": ()}, "fields="),
        ({"fields": ("phon",)}, "did you mean 'phone'"),
        ({"fields": ("phone", "phone")}, "twice"),
        ({"prompts": 1}, "prompts=1: use 2"),
        ({"groups": 1}, "groups=1: use 2"),
        ({"forget_groups": (0, 6)}, "forget_groups"),
        ({"forget_groups": tuple(range(6))}, "not all"),
        ({"forget_groups": ()}, "forget_groups"),
        ({"num_people": 5}, "num_people=5"),
        ({"num_people": 2300}, "only 2304 names"),
        ({"max_facts": -1}, "max_facts=-1"),
        ({"num_perturbed": -1}, "num_perturbed=-1"),
        ({"num_background": -1}, "num_background=-1: use 0 to"),
    ],
)
def test_bad_settings_are_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        PROFILES.Config(**settings)
    assert "\n" not in str(error.value)
