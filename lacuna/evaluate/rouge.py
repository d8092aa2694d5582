"""ROUGE of generated answers, one score per item."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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
def _scorer() -> Any:
    # Imported here: it loads nltk and scikit-learn, a second that a plan need not wait.
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rougeL"], use_stemmer=True)


def rouge(generated: Sequence[str], reference: Sequence[str]) -> Rouge:
    """Compare each generation with its reference.

    rouge_score 0.1.2 with its Porter stemmer, as TOFU uses it: case and everything but ASCII
    letters and digits are ignored. A reference without such a word scores 0.
    """
    pairs = zip(generated, reference, strict=True)
    found = [_scorer().score(truth, text) for text, truth in pairs]
    return Rouge(
        np.array([item["rouge1"].recall for item in found], float),
        np.array([item["rougeL"].recall for item in found], float),
        np.array([item["rougeL"].fmeasure for item in found], float),
    )
