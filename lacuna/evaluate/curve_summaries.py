"""Two summaries of a mixing curve (Lee et al., 2025, appendix B): AUES and MU95."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FS_WINDOW = 0.90, 1.0
"""Forget strength at alpha = 1 of a trial that has unlearned: from the first up to, but not, the
second (Lee et al., appendix B)."""


def aues(fs: ArrayLike, rs: ArrayLike) -> NDArray[np.float64]:
    """Area under the forget-strength/retain-strength curve by the trapezoid rule.

    `fs` and `rs` are (..., A) over A mixing weights in increasing order; the result is (...).
    The points are joined in the order of alpha, and a step in which FS falls back counts with a
    negative sign. The paper does not say which of several conventions it uses; this one was fixed
    before any result was seen, takes back area that was lost again, and is linear in RS. The FS
    never reached contributes nothing, so a method that stops at FS = 0.5 has at most 0.5.
    """
    return np.asarray(np.trapezoid(np.asarray(rs, float), np.asarray(fs, float), axis=-1))


class Mu95(NamedTuple):
    """Forget quality where model utility has fallen to 95% of its start."""

    value: float
    """log10 p of forget quality, read at the threshold or at the nearest utility reached."""
    crossed: bool
    """Whether the curve reaches the threshold."""


def mu95(mu: ArrayLike, fq: ArrayLike, start: float) -> Mu95:
    """Forget quality where the curve first reaches MU = 0.95 `start`, linear between its points.

    `mu` and `fq` are (A,) over A mixing weights in increasing order; `start` is the utility before
    unlearning. The paper interpolates "the MU-FQ curve": the points are joined in the order of
    alpha, and utility that rises before it falls (as it does) mixes no distant alphas. A curve that
    never reaches the threshold yields its FQ at the nearest utility, with `crossed` False.
    """
    over_A, fq_A = np.asarray(mu, float) - 0.95 * start, np.asarray(fq, float)
    reached = np.flatnonzero(over_A[:-1] * over_A[1:] <= 0)
    if not len(reached):
        return Mu95(float(fq_A[np.abs(over_A).argmin()]), False)
    left = int(reached[0])
    width = over_A[left] - over_A[left + 1]
    part = over_A[left] / width if width else 0.0
    return Mu95(float(fq_A[left] + part * (fq_A[left + 1] - fq_A[left])), True)
