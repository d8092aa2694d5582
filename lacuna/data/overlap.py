"""Facts that stand in two splits: word for word, or but for case, blanks and Unicode form.

What is to be forgotten and to be kept, or never to be seen, is known to every model that is
compared with, so that every number is about something else.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from lacuna.errors import UserError

if TYPE_CHECKING:
    from lacuna.data.base import Example

Fact = tuple[str, str]
_ENDS = ".,;:!?…。、！？؟।\"'“”‘’«»"
"""Marks around a text that do not make another fact of it."""


def plain(text: str) -> str:
    """The text without what makes no other fact: case, blanks, Unicode form, outer marks.

    Letters with marks that stand for themselves stay apart from those without (o and ø, e and é).
    """
    shown = text.lower()
    if not text.isascii():  # whose letters have one form only
        seen = unicodedata.normalize("NFKC", text).casefold()
        seen = unicodedata.normalize("NFKC", seen)
        shown = "".join(c for c in seen if unicodedata.category(c) != "Cf")
    return " ".join(shown.split()).strip(_ENDS + " ")


def require_disjoint(name: str, splits: Mapping[str, Sequence["Example"]]) -> None:
    """Raise `UserError` with the number of shared facts where two of the splits share any.

    A fact is a question with its answer, in its own words or those of its paraphrases; the same
    question with another answer is another fact.
    """
    held = {split: _facts(examples) for split, examples in splits.items()}
    for (first, own), (second, other) in combinations(held.items(), 2):
        shared = {own[fact].id: other[fact].id for fact in own if fact in other}
        if shared:
            one, same = next(iter(shared.items()))
            raise UserError(
                f"data {name!r}: {len(shared)} facts of {first} stand in {second} too (the first: "
                f"{one!r} is {same!r}), word for word or but for case, blanks and Unicode form: "
                f"whoever learns {second} knows them, leave each in one split"
            )


def _facts(examples: Sequence["Example"]) -> dict[Fact, "Example"]:
    found: dict[Fact, Example] = {}
    for example in examples:
        for fact in _worded(example):
            found.setdefault(fact, example)
    return found


def _worded(example: "Example") -> Iterator[Fact]:
    for question in filter(None, (example.question, example.paraphrased_question)):
        for answer in filter(None, (example.answer, example.paraphrased_answer)):
            yield plain(question), plain(answer)
