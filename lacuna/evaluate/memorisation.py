"""Which prompts make a model say a value: memorisation (LACUNA) and Success@k.

Greedy answers of a few tokens; an answer counts if it contains the value, letter case aside.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lacuna.data.base import Example
from lacuna.data.generated.profile_texts import ProfileTexts, holds
from lacuna.evaluate.generate import generate
from lacuna.model.load import LoadedModel

ROUND = 8
"""Prompts per fact in one round of Success@k: a fact that leaked is not asked again."""


@dataclass(frozen=True)
class Asked:
    """A fact and the prompts that ask for it."""

    fact: Example
    prompts: tuple[str, ...]


def asked(facts: Sequence[Example], book: ProfileTexts | None, count: int) -> list[Asked]:
    """Facts with at most `count` different prompts each, the question first: the book's prompts
    (those kept for paraphrase attacks are none), or without a book the paraphrase."""
    found = []
    for item in facts:
        more: tuple[str, ...] = (item.paraphrased_question,)
        if book is not None:
            more = book.asked(item.person, item.field, count)
        prompts = dict.fromkeys(filter(None, (item.question, *more)))
        found.append(Asked(item, tuple(prompts)[:count]))
    return found


def memorised(
    loaded: LoadedModel, facts: Sequence[Asked], *, new_tokens: int = 20, max_tokens: int = 8192
) -> dict[str, tuple[str, ...]]:
    """Fact (`Example.id`) -> the prompts that the model answers right, in their order."""
    questions = [replace(a.fact, question=prompt) for a in facts for prompt in a.prompts]
    right: dict[str, tuple[str, ...]] = {a.fact.id: () for a in facts}
    for item in _right(loaded, questions, new_tokens, max_tokens):
        right[item.id] += (item.question,)
    return right


def leaked(
    loaded: LoadedModel, facts: Sequence[Asked], *, new_tokens: int = 20, max_tokens: int = 8192
) -> tuple[str, ...]:
    """Success@k: the facts (`Example.id`) that any of their k prompts brings out, sorted."""
    found: set[str] = set()
    longest = max((len(a.prompts) for a in facts), default=0)
    for start in range(0, longest, ROUND):
        questions = [
            replace(a.fact, question=prompt)
            for a in facts
            if a.fact.id not in found
            for prompt in a.prompts[start : start + ROUND]
        ]
        found |= {item.id for item in _right(loaded, questions, new_tokens, max_tokens)}
    return tuple(sorted(found))


def _right(
    loaded: LoadedModel, questions: Sequence[Example], new_tokens: int, max_tokens: int
) -> Iterator[Example]:
    answers = generate(loaded, questions, new_tokens=new_tokens, max_tokens=max_tokens)
    pairs = zip(questions, answers, strict=True)
    return (item for item, answer in pairs if holds(answer, item.answer))
