"""Adjusted p-values of a family of tests.

Of m tests of true null hypotheses at .05 each, at least one rejects far more often than one time in
twenty. Adjusted p-values are compared with the level as they stand. A test without a value (None)
stays None but counts among the m: it was planned.
"""

from collections.abc import Sequence

import numpy as np

from lacuna.errors import UserError
from lacuna.significance.arms import Floats


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm (1979): the chance of even one false rejection stays below the level, whatever depends.

    The i-th smallest of m values is multiplied by m - i + 1, and is at least what the smaller ones
    became and at most 1. Raises `UserError` for a value outside [0, 1].
    """
    order, p = _sorted(p_values)
    raised = p * (len(p_values) - np.arange(len(p)))
    return _in_place(len(p_values), order, np.maximum.accumulate(raised))


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Benjamini & Hochberg (1995): on average at most the level's share of rejections is false.

    For tests that are independent or positively dependent. The i-th smallest of m values is
    multiplied by m / i, and is at most what the larger ones became. Raises `UserError` for a value
    outside [0, 1].
    """
    order, p = _sorted(p_values)
    raised = p * len(p_values) / np.arange(1, len(p) + 1)
    return _in_place(len(p_values), order, np.minimum.accumulate(raised[::-1])[::-1])


def _sorted(p_values: Sequence[float | None]) -> tuple[list[int], Floats]:
    """Places and values of the defined p-values, smallest first."""
    found = sorted((value, i) for i, value in enumerate(p_values) if value is not None)
    for value, _ in found:
        if not 0 <= value <= 1:
            raise UserError(f"p = {value:g} is not a p-value: it must lie in [0, 1]")
    return [i for _, i in found], np.array([value for value, _ in found])


def _in_place(count: int, order: Sequence[int], adjusted: Floats) -> list[float | None]:
    result: list[float | None] = [None] * count
    for i, value in zip(order, adjusted, strict=True):
        result[i] = min(1.0, float(value))
    return result
