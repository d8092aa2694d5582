"""ROUGE-L recall of generated answers."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rouge_score import rouge_scorer


@cache
def _scorer() -> Any:
    return rouge_scorer.RougeScorer(["rougeL"], use_stemmer=True)


def rouge_l_recall(generated: Sequence[str], reference: Sequence[str]) -> NDArray[np.float64]:
    """Share of each reference's words in its longest common subsequence with the generation, (I,).

    rouge_score 0.1.2 with its Porter stemmer, as TOFU uses it: case and everything but ASCII
    letters and digits are ignored. A reference without such a word scores 0.
    """
    pairs = zip(generated, reference, strict=True)
    return np.array([_scorer().score(truth, text)["rougeL"].recall for text, truth in pairs], float)
