"""TOFU's two aggregates: forget quality and model utility (Maini et al., 2024, section 2.2)."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from math import comb, gcd, log, log10
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from lacuna.errors import UserError
from lacuna.evaluate.metrics import choice_probability, truth_ratio, truth_score

_TINY = 1e-250
"""Below this p-value float64 nears its end, and the logarithm is computed exactly."""
_MAX_GRID = 4_000_000
"""Largest n * m for which lattice paths are counted."""


class ForgetQuality(NamedTuple):
    """Two-sample Kolmogorov-Smirnov test between the truth ratios of two models."""

    log10_p: float
    """log10 of the two-sided p-value: 0 is indistinguishable, very negative is different."""
    statistic: float
    """Largest distance between the two empirical distributions, in [0, 1]."""


def forget_quality(unlearned: ArrayLike, retained: ArrayLike) -> ForgetQuality:
    """KS test of truth ratios on the forget set: unlearned model against the retain-only model.

    Truth ratios are `metrics.truth_ratio(..., "geometric")`, one per item; NaN (no wrong answers to
    compare with) is left out. The p-value never underflows: where SciPy's is below 1e-250, its
    logarithm comes from an exact count of lattice paths (samples of up to 2,000 items each; beyond,
    from the leading term of the asymptotic series). Raises `UserError` where a sample is empty.
    """
    ratios_u, ratios_r = _ratios(unlearned, "unlearned"), _ratios(retained, "retained")
    test = scipy.stats.ks_2samp(ratios_u, ratios_r)
    statistic, p = float(test.statistic), float(test.pvalue)
    value = log10(p) if p > _TINY else ks_log10_p(statistic, len(ratios_u), len(ratios_r))
    return ForgetQuality(value, statistic)


def ks_log10_p(statistic: float, n: int, m: int) -> float:
    """log10 P(D >= statistic) for samples of n and m items under the null hypothesis.

    Under it every order of the n + m values is equally likely, so p is the share of lattice paths
    from (0, 0) to (n, m) that reach |i/n - j/m| >= statistic. Python integers keep the count exact.
    """
    if n * m > _MAX_GRID:
        return (log(2) - 2 * n * m / (n + m) * statistic**2) / log(10)
    step = gcd(n, m)
    bound = round(statistic * n * m / step)  # the statistic is a multiple of gcd/(n m)
    if bound == 0:
        return 0.0
    total = comb(n + m, n)
    outside = total - _paths_inside(bound, n, m, m // step, n // step)
    return _log10_ratio(outside, total)


def _paths_inside(bound: int, n: int, m: int, rise: int, run: int) -> int:
    """Lattice paths from (0, 0) to (n, m) with |i * rise - j * run| < bound at every point."""
    row = [1 if j * run < bound else 0 for j in range(m + 1)]
    for i in range(1, n + 1):
        left = 0
        for j in range(m + 1):
            left = left + row[j] if abs(i * rise - j * run) < bound else 0
            row[j] = left
    return row[m]


def _log10_ratio(numerator: int, denominator: int) -> float:
    """log10 of a ratio of huge integers; math.log10 takes them whole."""
    return log10(numerator) - log10(denominator)


def _ratios(values: ArrayLike, name: str) -> NDArray[np.float64]:
    ratios = _defined(values)
    if not len(ratios):
        raise UserError(
            f"forget quality: the {name} model has no truth ratios: the data needs wrong answers "
            f"(perturbed_answers) for its forget examples"
        )
    return ratios


@dataclass(frozen=True, kw_only=True)
class Utility:
    """What one named set of questions contributes to model utility: means over items, in [0, 1].

    None: the set cannot have this component (no wrong answers: no truth ratio).
    """

    probability: float | None = None
    rouge: float | None = None
    truth_ratio: float | None = None


def set_utility(
    answer_nll: ArrayLike,
    *,
    wrong_nll: ArrayLike | None = None,
    paraphrased_nll: ArrayLike | None = None,
    rouge: ArrayLike | None = None,
    choices: bool = False,
) -> Utility:
    """One set's components from per-item values (I,); `wrong_nll` is (I, J). Nll is per token.

    `choices` normalises the answer's probability by that of the wrong answers (TOFU: real authors
    and world facts). The truth ratio compares the wrong answers with the paraphrased answer, or
    with the answer itself where there is no paraphrase, and is read as max(0, 1 - r). Without wrong
    answers there is no truth ratio, and `choices` raises `UserError`.
    """
    answer = np.asarray(answer_nll, float)
    if wrong_nll is None:
        if choices:
            raise UserError(
                "choices=true needs wrong answers (perturbed_answers) for every question"
            )
        return Utility(probability=_average(np.exp(-answer)), rouge=_average(rouge))
    wrong = np.asarray(wrong_nll, float)
    right = answer if paraphrased_nll is None else np.asarray(paraphrased_nll, float)
    prob = choice_probability(answer, wrong) if choices else np.exp(-answer)
    return Utility(
        probability=_average(prob),
        rouge=_average(rouge),
        truth_ratio=_average(truth_score(truth_ratio(right, wrong))),
    )


def model_utility(sets: Mapping[str, Utility]) -> float:
    """Harmonic mean of every component of every set; 0 as soon as one of them is 0.

    With TOFU's three sets (retain, real authors, world facts) of three components it is TOFU's
    harmonic mean of nine. A component that is None is left out of the mean, so only compare models
    measured on the same sets. Raises `UserError` if nothing is left.
    """
    parts = [value for utility in sets.values() for value in astuple(utility)]
    values: list[float] = [value for value in parts if value is not None]
    if not values:
        raise UserError(
            "model utility has no component: give at least one utility set with answers"
        )
    if min(values) <= 0:
        return 0.0
    return len(values) / sum(1 / value for value in values)


def _average(values: ArrayLike | None) -> float | None:
    """Mean of the defined values; None where there are none."""
    if values is None:
        return None
    defined = _defined(values)
    return float(defined.mean()) if len(defined) else None


def _defined(values: ArrayLike) -> NDArray[np.float64]:
    array: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    defined: NDArray[np.float64] = array[~np.isnan(array)]
    return defined
