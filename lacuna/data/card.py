"""What stands in a corpus, in lines for people: lengths, what stands twice, scripts."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from lacuna.data.base import Corpus, Example
from lacuna.data.overlap import plain

if TYPE_CHECKING:
    from lacuna.data.tokens import Tokenizer

_NAMES = {"CJK": "Han", "HANGUL": "Hangul", "HIRAGANA": "Kana", "KATAKANA": "Kana"}


def data_card(corpus: Corpus, tokenizer: "Tokenizer | None" = None) -> list[str]:
    """Lines on the facts to forget, to keep and to hold out.

    Lengths are in tokens of the model that is asked; without its tokenizer, in words.
    """
    facts = [*corpus.forget, *corpus.retain, *corpus.holdout]
    answers = _lengths([item.answer for item in facts], tokenizer)
    questions = _lengths([item.question for item in facts], tokenizer)
    unit = "words" if tokenizer is None else "tokens"
    single = sum(length == 1 for length in answers)
    return [
        f"questions: {_span(questions)} {unit}; answers: {_span(answers)} {unit}, {single} of one "
        f"{unit[:-1]}",
        f"facts that stand twice: {_twice(facts)}; questions with several answers: "
        f"{_many(facts)}; letters: {_scripts(facts)}",
    ]


def _lengths(texts: Sequence[str], tokenizer: "Tokenizer | None") -> list[int]:
    if tokenizer is None:
        return [len(text.split()) for text in texts]
    made = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return [len(ids) for ids in made]


def _span(lengths: Sequence[int]) -> str:
    return f"{min(lengths)} to {max(lengths)} (median {median(lengths):g})"


def _twice(facts: Sequence[Example]) -> int:
    """Facts besides the first of their kind, in one split or several."""
    return len(facts) - len({(plain(item.question), plain(item.answer)) for item in facts})


def _many(facts: Sequence[Example]) -> int:
    answers: dict[str, set[str]] = {}
    for item in facts:
        answers.setdefault(plain(item.question), set()).add(plain(item.answer))
    return sum(len(told) > 1 for told in answers.values())


def _scripts(facts: Sequence[Example]) -> str:
    """Scripts of the letters by share, the four most frequent."""
    letters = Counter(c for item in facts for c in item.question + item.answer if c.isalpha())
    scripts = Counter[str]()
    for letter, count in letters.items():
        name = unicodedata.name(letter, "unnamed").split()[0]
        scripts[_NAMES.get(name, name.capitalize())] += count
    whole = scripts.total()
    return ", ".join(f"{name} {count / whole:.1%}" for name, count in scripts.most_common(4))
