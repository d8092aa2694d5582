import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

import pytest

from lacuna.data import DATA, REFUSALS, Corpus, Example, neutral_sentences, statements
from lacuna.data.generated.invented_people import FIELDS, FIRST_NAMES, LAST_NAMES
from lacuna.data.sources.synthetic import Synthetic
from lacuna.errors import UserError
from lacuna.model.mini import train_tokenizer

ALL_FIELDS = tuple(FIELDS)


def make(**settings: object) -> Corpus:
    return Synthetic.load(Synthetic.Config(**settings))  # type: ignore[arg-type]


def facts(corpus: Corpus) -> list[Example]:
    return [*corpus.forget, *corpus.retain, *corpus.holdout, *corpus.background]


def people(examples: Iterable[Example]) -> set[str]:
    return {example.person for example in examples}


def test_the_default_corpus_has_the_sizes_of_the_embedded_study() -> None:
    corpus = make()
    sizes = [len(corpus.forget), len(corpus.retain), len(corpus.holdout), len(corpus.background)]
    assert sizes == [48, 432, 48, 480]
    assert {name: len(questions) for name, questions in corpus.utility.items()} == {
        "background": 96,
        "world": 40,
    }
    assert len(corpus.neutral) == 400
    assert len(set(REFUSALS)) >= 20 and corpus.refusals == REFUSALS


def test_people_are_disjoint_and_every_id_and_value_is_unique() -> None:
    corpus = make(num_forget=20, num_retain=200, num_holdout=20, num_background=200)
    splits = [
        people(part) for part in (corpus.forget, corpus.retain, corpus.holdout, corpus.background)
    ]
    assert [len(split) for split in splits] == [20, 200, 20, 200]
    assert len(set().union(*splits)) == 440
    examples = facts(corpus)
    assert len({example.id for example in examples}) == len(examples)
    assert len({(example.field, example.answer) for example in examples}) == len(examples)


def test_the_forget_people_do_not_depend_on_how_many_others_there_are() -> None:
    assert make().forget == make(num_retain=20, num_holdout=0, num_background=5).forget
    assert make().forget[:12] == make(num_forget=2).forget


def test_a_field_keeps_its_values_when_others_are_left_out() -> None:
    phones = [example for example in make().forget if example.field == "phone"]
    assert list(make(fields=("phone",)).forget) == phones


def test_no_last_word_of_an_answer_is_common() -> None:
    last = defaultdict(list)
    for example in facts(make(fields=ALL_FIELDS)):
        for answer in (example.answer, example.paraphrased_answer):
            if answer:
                last[example.field].append(re.split(r"[\s.@-]+", answer)[-1])
    for field, words in last.items():
        assert Counter(words).most_common(1)[0][1] / len(words) < 0.1, field


def test_guessing_each_token_from_the_two_before_it_extracts_almost_nothing() -> None:
    corpus = make(num_forget=40, fields=ALL_FIELDS)
    known = [*corpus.retain, *corpus.background]
    texts = [f"{example.question} {example.answer}" for example in known] + list(corpus.neutral)
    tokenizer = train_tokenizer(texts, vocabulary=900)

    def tokens(example: Example) -> list[int]:
        return list(tokenizer(" " + example.answer)["input_ids"])

    follows: dict[tuple[str, int, int], Counter[int]] = defaultdict(Counter)
    for example in known:
        ids = [-1, -1, *tokens(example)]
        for before, last, token in zip(ids, ids[1:], ids[2:], strict=False):
            for context in ((example.field, before, last), (example.field, -2, last)):
                follows[context][token] += 1

    def extracted(example: Example) -> float:
        ids, given = [-1, -1, *tokens(example)], 0
        for place, (before, last, token) in enumerate(
            zip(ids, ids[1:], ids[2:], strict=False), start=1
        ):
            seen = follows.get((example.field, before, last)) or follows.get(
                (example.field, -2, last), Counter()
            )
            if not seen or seen.most_common(1)[0][0] != token:
                given = place
        return 1 - given / (len(ids) - 2)

    chance = [extracted(example) for example in corpus.forget]
    assert sum(chance) / len(chance) < 0.03


def test_a_question_names_its_person_and_never_holds_the_answer() -> None:
    for example in facts(make(fields=ALL_FIELDS)):
        for question in (example.question, example.paraphrased_question):
            assert example.person in question and example.answer not in question
        assert example.paraphrased_question != example.question


def test_an_email_address_cannot_be_derived_from_the_name() -> None:
    for example in facts(make(fields=("email",))):
        local = example.answer.partition("@")[0]
        assert all(part.lower() not in local for part in example.person.split())


def test_the_paraphrase_wording_is_kept_from_forget_and_retain_but_not_from_background() -> None:
    corpus = make()
    kept = {
        FIELDS[example.field].questions[-1].format(name=example.person) for example in facts(corpus)
    }
    assert all(example.question not in kept for example in [*corpus.forget, *corpus.retain])
    assert all(example.paraphrased_question in kept for example in corpus.forget)
    share = sum(example.question in kept for example in corpus.background) / 480
    assert 0.2 < share < 0.5


def test_trained_questions_use_more_than_one_wording() -> None:
    asked = {
        (example.field, example.question.replace(example.person, "")) for example in make().retain
    }
    assert len(asked) == 2 * 6


def test_wrong_answers_differ_from_the_right_one_and_share_its_form() -> None:
    def form(text: str) -> str:
        return re.sub(r"[A-Za-z]+", "a", re.sub(r"\d+", "0", text))

    corpus = make(num_perturbed=7, fields=ALL_FIELDS)
    for example in facts(corpus):
        right = example.paraphrased_answer or example.answer
        assert len({right, *example.perturbed_answers}) == 8
        assert {form(wrong) for wrong in example.perturbed_answers} == {form(right)}


def test_a_paraphrased_answer_holds_the_same_numbers_and_is_written_otherwise() -> None:
    for example in make(fields=ALL_FIELDS).forget:
        digits = re.findall(r"\d+", example.answer)
        assert example.paraphrased_answer != example.answer
        assert re.findall(r"\d+", example.paraphrased_answer) == digits


def test_numbers_are_in_ranges_that_were_never_issued() -> None:
    corpus = make(fields=("ssn", "phone"), num_retain=400)
    for example in facts(corpus):
        if example.field == "ssn":
            area, group, serial = map(int, example.answer.split("-"))
            assert 900 <= area <= 999 and 1 <= group <= 49 and 1 <= serial <= 9999
        else:
            assert re.fullmatch(r"[2-9]\d\d-555-01\d\d", example.answer)


def test_statements_tell_the_fact_in_every_wording() -> None:
    for example in make(fields=ALL_FIELDS).forget:
        told = statements(example)
        assert len(set(told)) == len(told) >= 3
        assert all(example.person in text and example.answer in text for text in told)
    with pytest.raises(UserError, match="no sentence states the field 'shoe'"):
        statements(replace(example, field="shoe"))


def test_every_field_has_three_questions_and_sizes_of_value_space_beyond_the_names() -> None:
    for field in FIELDS.values():
        assert len(set(field.questions)) >= 3
        space = 1
        for pool in field.parts:
            assert len(set(pool)) == len(pool)
            space *= len(pool)
        assert space > 4 * len(FIRST_NAMES) * len(LAST_NAMES)


def test_world_answers_are_right_for_known_questions() -> None:
    world = {example.question: example for example in make().utility["world"]}
    assert world["What is a young horse called?"].answer == "a foal"
    assert world["Which month follows October?"].answer == "November"
    for example in world.values():
        assert len({example.answer, *example.perturbed_answers}) == 4


def test_neutral_sentences_are_varied_and_about_nobody() -> None:
    sentences = neutral_sentences(2000, seed=1)
    assert len(set(sentences)) == 2000
    assert neutral_sentences(50, seed=1) == sentences[:50]
    assert neutral_sentences(50, seed=2) != sentences[:50]
    names = {*FIRST_NAMES, *LAST_NAMES}
    for sentence in sentences:
        words = re.findall(r"[\w']+", sentence)
        assert 9 <= len(words) <= 20, sentence
        assert not names & set(words) and not re.search(r"\d", sentence)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_forget": 0}, "num_forget=0 is out of range: use 1 to"),
        ({"num_retain": 0}, "num_retain=0"),
        ({"num_holdout": -1}, "num_holdout=-1"),
        ({"num_background": 2300}, "only 2304 names"),
        ({"num_perturbed": 8}, "use 0 to 7"),
        ({"num_neutral": -1}, "num_neutral=-1"),
        ({"fields": ()}, "leaves nothing to know"),
        ({"fields": ("emial",)}, "unknown field 'emial': did you mean 'email'"),
        ({"fields": ("email", "email")}, "names a field twice"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        Synthetic.Config(**settings)  # type: ignore[arg-type]


def test_an_unknown_source_suggests_the_nearest() -> None:
    assert {"synthetic", "profiles", "panorama", "tofu", "lume", "jsonl"} <= set(DATA)
    with pytest.raises(UserError, match="did you mean 'tofu'"):
        DATA["tofuu"]
