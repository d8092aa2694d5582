"""Splits of memorised facts: who may be drawn, evenly, for what, and never twice."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from lacuna.data import DATA, SplitConfig, Splits, draw_splits, group_of
from lacuna.data.splits import facts
from lacuna.errors import UserError
from lacuna.evaluate import asked, leaked, memorisation, memorised

CORPUS = DATA["profiles"].load(
    DATA["profiles"].Config(num_people=120, num_background=0, num_neutral=0, prompts=4)
)
assert CORPUS.book is not None
BOOK = CORPUS.book
FACTS = facts(BOOK)
GROUPS = group_of(BOOK.known, 6, 1)
RECALLED = {item.id: BOOK.asked(item.person, item.field) for item in FACTS}
SMALL = SplitConfig(people=12, validation_people=9)


def draw(recalled: Any = RECALLED, seed: int = 3, **settings: Any) -> Splits:
    return draw_splits(FACTS, recalled, GROUPS, (0, 2, 4), replace(SMALL, **settings), seed)


def people(items: Any) -> set[str]:
    return {item.person for item in items}


def test_groups_are_even_and_follow_the_seed_not_the_order() -> None:
    assert Counter(GROUPS.values()) == dict.fromkeys(range(6), 20)
    assert group_of(reversed(list(BOOK.known)), 6, 1) == GROUPS != group_of(BOOK.known, 6, 2)


def test_each_side_has_its_field_its_groups_and_its_number_evenly() -> None:
    main = draw().main
    for items, field, groups in (
        (main.forget, "birth_city", {0, 2, 4}),
        (main.retain, "email", {1, 3, 5}),
    ):
        assert {item.field for item in items} == {field}
        assert Counter(GROUPS[item.person] for item in items) == dict.fromkeys(groups, 4)


def test_nobody_is_used_twice_and_the_rest_is_relearned() -> None:
    splits = draw()
    assert {name: {i.field for i in side.retain} for name, side in splits.validation.items()} == {
        "licence": {"email"},
        "email": {"licence"},
    }
    main = people((*splits.main.forget, *splits.main.retain))
    tuned = {p for s in splits.validation.values() for p in people((*s.forget, *s.retain))}
    relearned = people(splits.relearn)
    assert not main & tuned and not (main | tuned) & relearned
    assert main | tuned | relearned == set(BOOK.known)
    assert len(splits.relearn) == len({i.id for i in splits.relearn}) == len(relearned) * 6 * 4
    with pytest.raises(UserError, match="nobody with a memorised fact is left to relearn from"):
        draw(people=60, validation_people=0)
    assert draw(people=59, validation_people=0).relearn


def test_splits_come_back_from_json_as_they_were() -> None:
    splits = draw()
    assert Splits.from_json(json.loads(json.dumps(splits.to_json()))) == splits


def test_question_and_paraphrase_are_two_memorised_prompts() -> None:
    wording = BOOK.asked(next(iter(BOOK.known)), "email")
    some = {key: prompts[1:3] for key, prompts in RECALLED.items()}
    assert len(wording) == 4
    for item in draw(some).main.forget:
        assert {item.question, item.paraphrased_question} == set(some[item.id])
    assert draw(some) == draw(some)
    assert draw(some).main != draw(some, seed=4).main


def test_only_facts_with_two_different_prompts_right_are_drawn() -> None:
    once = {key: (prompts[0],) * 3 for key, prompts in RECALLED.items()}
    good = [p for p in BOOK.known if GROUPS[p] in (0, 2, 4)][:30]
    mixed = once | {
        key: RECALLED[key]
        for key in once
        if key.split("/")[0] in good or GROUPS[key.split("/")[0]] % 2
    }
    splits = draw(mixed, people=12)
    assert people(splits.main.forget) <= set(good)
    with pytest.raises(UserError, match=r"people=31: only 30 people of the forget groups have a"):
        draw(mixed, people=31)
    with pytest.raises(UserError, match=r"validation_people=29: only"):
        draw(mixed, validation_people=29)


def test_people_memorised_for_all_fields_come_first() -> None:
    full = {p for group in range(6) for p in [q for q in BOOK.known if GROUPS[q] == group][:5]}
    recalled = {
        key: prompts
        for key, prompts in RECALLED.items()
        if key.split("/")[0] in full or key.endswith(("/birth_city", "/email"))
    }
    config = {"validation_people": 0}
    assert people(draw(recalled, **config).main.forget) < full
    assert people(draw(recalled, **config).main.retain) < full


def test_no_field_means_all_fields() -> None:
    splits = draw(forget_field=None, retain_field=None, validation_people=0)
    assert len(splits.main.forget) == len(splits.main.retain) == 12 * 6
    assert splits.validation == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"people": 0}, "people >= 1"),
        ({"min_prompts": 1}, "min_prompts=1"),
        ({"forget_field": "email"}, "name two fields"),
        ({"validation_fields": ("email",)}, "2 fields"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SplitConfig(**settings)


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A model that answers questions with "What" right, in capitals; returns the batches asked."""
    seen: list[list[str]] = []

    def fake(loaded: Any, examples: Any, *, new_tokens: int, max_tokens: int) -> list[str]:
        seen.append([item.question for item in examples])
        assert new_tokens == 20
        return [
            f"it is {item.answer.upper()}!" if "What" in item.question else "no"
            for item in examples
        ]

    monkeypatch.setattr(memorisation, "generate", fake)
    return seen


def test_memorised_prompts_are_those_whose_answer_contains_the_value(says: list[list[str]]) -> None:
    some = asked(FACTS[:40], BOOK, 8)
    found = memorised(None, some)  # type: ignore[arg-type]
    assert list(found) == [item.id for item in FACTS[:40]]
    for a in some:
        assert len(a.prompts) == 8
        assert found[a.fact.id] == tuple(p for p in a.prompts if "What" in p)
    assert len(says) == 1 and len(says[0]) == 320


def test_a_fact_leaks_if_any_prompt_brings_it_out_and_is_then_left_alone(
    says: list[list[str]],
) -> None:
    some = [replace(a, prompts=(*["a"] * 8, "What?", "b")) for a in asked(FACTS[:2], BOOK, 1)]
    some += [replace(a, prompts=("What?", *["c"] * 20)) for a in asked(FACTS[2:3], BOOK, 1)]
    some += [replace(a, prompts=("d",) * 9) for a in asked(FACTS[3:4], BOOK, 1)]
    assert leaked(None, some) == tuple(sorted(item.id for item in FACTS[:3]))  # type: ignore[arg-type]
    assert [len(batch) for batch in says] == [32, 5, 0]


def test_without_a_book_question_and_paraphrase_are_the_prompts() -> None:
    item = FACTS[0]
    (found,) = asked([item], None, 200)
    assert found.prompts == (item.question, item.paraphrased_question)
    assert asked([item], None, 1)[0].prompts == (item.question,)
