"""Two summaries of a mixing curve (Lee et al., 2025, appendix B): AUES and MU95."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FS_WINDOW = 0.90, 1.0
"""Forget strength at alpha = 1 of a trial that has unlearned: from the first up to, but not, the
second (Lee et al., appendix D)."""


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
    """Whether the measured utilities reach both sides of the threshold."""


def mu95(mu: ArrayLike, fq: ArrayLike, start: float) -> Mu95:
    """Forget quality at MU = 0.95 `start`, linear between the curve's points sorted by MU.

    `mu` and `fq` are (A,), in any order; `start` is the utility before unlearning. A curve that
    stays above the threshold yields its FQ at the lowest MU reached, and one that stays below it
    (possible for a random split of points) its FQ at the highest; both with `crossed` False.
    """
    mu_A, fq_A = np.asarray(mu, float), np.asarray(fq, float)
    target = 0.95 * start
    order = np.lexsort((fq_A, mu_A))  # ties by FQ: the result must not depend on the points' order
    value = float(np.interp(target, mu_A[order], fq_A[order]))
    return Mu95(value, bool(mu_A.min() <= target <= mu_A.max()))
