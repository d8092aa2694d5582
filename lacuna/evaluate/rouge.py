"""ROUGE of generated answers, one score per item."""

from collections.abc import Sequence
from functools import cache, lru_cache
from math import nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lacuna.evaluate.words import UnicodeWords, foreign, wordless

Floats = NDArray[np.float64]


class Rouge(NamedTuple):
    """The three scores that open-unlearning reports, each (I,) in [0, 1]."""

    rouge1_recall: Floats
    """Share of the reference's words that the generation holds, in any order."""
    rouge_l_recall: Floats
    """Share of them in the longest common subsequence (TOFU's score)."""
    rouge_l_f1: Floats
    """Harmonic mean of that and the same share of the generation's words."""


@cache
def _scorer(unicode: bool) -> Any:
    # Imported here: it loads nltk and scikit-learn, a second that a plan need not wait.
    from rouge_score.rouge_scorer import RougeScorer

    own = {"tokenizer": UnicodeWords()} if unicode else {"use_stemmer": True}
    return RougeScorer(["rouge1", "rougeL"], **own)


def rouge(generated: Sequence[str], reference: Sequence[str]) -> Rouge:
    """Compare each generation with its reference.

    rouge_score 0.1.2 with its Porter stemmer, as TOFU uses it: case and everything but ASCII
    letters and digits are ignored. A reference that is written mostly in others is scored by
    words of its script instead (`words`); one of marks alone is NaN: it has no words.
    """
    found = np.array(
        [_scores(text, truth) for text, truth in zip(generated, reference, strict=True)]
    )
    return Rouge(*found.reshape(-1, 3).T)


@lru_cache(maxsize=2**14)  # along a mixing curve most answers stay as they are
def _scores(text: str, truth: str) -> tuple[float, float, float]:
    if wordless(truth):
        return nan, nan, nan
    item = _scorer(foreign(truth)).score(truth, text)
    return item["rouge1"].recall, item["rougeL"].recall, item["rougeL"].fmeasure
