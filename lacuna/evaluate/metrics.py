"""Per-item metrics, all derived from one `TokenTable`. `METRICS` has those that every model gets.

Shapes: I items, J wrong answers per item, N labelled tokens. Every function returns a float64
vector (I,), in the order of the items. An item without the tokens that a metric reads gives NaN,
never a number that looks measured.
"""

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import scipy
from numpy.typing import NDArray

from lacuna.errors import UserError
from lacuna.evaluate.token_table import TokenTable
from lacuna.registry import Registry, suggest

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
METRICS: Registry[Callable[[TokenTable], Floats]] = Registry("metric")
"""Metrics of every forget and retain question, from its offsets, nll, greedy and end columns (mean
and variance are not computed for them): files of items have their values, summaries their means."""


def body(table: TokenTable) -> TokenTable:
    """The table without the end-of-text tokens that close items."""
    return _keep(table, ~table.end)


def drop_last(table: TokenTable) -> TokenTable:
    """The table without each item's last labelled token, whatever it is.

    This is open-unlearning's "minus EOS" (commit d3d7cf9): on text without EOS it drops a real
    token.
    """
    keep = np.ones(len(table.nll), dtype=bool)
    keep[table.offsets[1:][np.diff(table.offsets) > 0] - 1] = False
    return _keep(table, keep)


@METRICS.register("es")
def extraction_strength(table: TokenTable) -> Floats:
    """ES = 1 - k*/m over the m body tokens; k* = 1 + last wrong position, or 0 (Lee et al., B).

    k* tokens of the answer must be given before greedy decoding yields the rest, and one
    teacher-forced pass decides it exactly. If even the last body token is wrong, ES = 0. The
    end-of-text token is not part of the answer. An item without a body gives NaN.
    """
    kept = body(table)
    count = np.diff(kept.offsets)
    return _divide(count - _needed(kept), count)


@METRICS.register("es_peer")
def extraction_strength_peer(table: TokenTable) -> Floats:
    """ES as open-unlearning computes it (commit d3d7cf9), to compare with published numbers.

    Differs from `extraction_strength` in three ways: the last labelled token is dropped even when
    it is not EOS; k* is at most m - 1, so ES is never below 1/m (a wrong one-token answer scores
    1.0); an item with m = 0 scores 0 instead of being undefined.
    """
    kept = drop_last(table)
    count = np.diff(kept.offsets)
    needed = np.minimum(_needed(kept), np.maximum(count - 1, 0))
    return np.where(count > 0, _divide(count - needed, count), 0.0)


@METRICS.register("em")
def exact_memorization(table: TokenTable) -> Floats:
    """Share of body tokens whose greedy prediction is right (Tirumala et al., 2022)."""
    kept = body(table)
    return _mean(kept.greedy.astype(np.float64), kept.offsets)


@METRICS.register("logp")
def mean_logp(table: TokenTable) -> Floats:
    """Mean log-probability per labelled token in nats, the end-of-text token included."""
    return -_mean(table.nll, table.offsets)


@METRICS.register("probability")
def probability(table: TokenTable) -> Floats:
    """p(answer)^(1/n) over all n labelled tokens, end of text included (TOFU, section 2.2)."""
    return np.exp(mean_logp(table))


@METRICS.register("rma")
def remnant(table: TokenTable) -> Floats:
    """RMA, remnant memorization: the mean of p(y_t) over body tokens (POP, arXiv:2406.14091).

    The arithmetic mean, where `probability` is the geometric one: a single impossible token does
    not end it, so that it falls smoothly while an answer is forgotten token by token.
    """
    kept = body(table)
    return _mean(np.exp(-kept.nll), kept.offsets)


def item_scores(table: TokenTable) -> dict[str, Floats]:
    """Every metric of `METRICS`, (I,) each.

    Raises `UserError` for a metric of another package that does not give a number per item.
    """
    found = {name: metric(table) for name, metric in METRICS.items()}
    count = len(table.offsets) - 1
    for name, values in found.items():
        if np.shape(values) != (count,):
            raise UserError(
                f"metric {name!r} gave an array of shape {np.shape(values)} for {count} items: "
                f"return one number per item"
            )
    return found


def min_k(table: TokenTable, fraction: float) -> Floats:
    """Min-K% (Shi et al., 2024): minus the mean of the lowest `fraction` of body log-probabilities.

    Higher means less likely to have been trained on. At least one token is read.
    """
    return -_lowest_mean(body(table), lambda kept: -kept.nll, fraction)


def min_k_plus_plus(table: TokenTable, fraction: float) -> Floats:
    """Min-K%++ (Zhang et al., 2025): as `min_k`, on z = (log p - mu) / sigma.

    mu and sigma^2 are mean and variance of log p(v) under p(v); sigma^2 is floored at 1e-6.
    """

    def standardised(kept: TokenTable) -> Floats:
        return (-kept.nll - kept.mean) / np.sqrt(np.maximum(kept.variance, 1e-6))

    return -_lowest_mean(body(table), standardised, fraction)


def choice_probability(right_nll: Floats, wrong_nll: Floats) -> Floats:
    """p(right) / (p(right) + sum_j p(wrong_j)), each p length-normalised (TOFU, section 2.2).

    `right_nll` (I,) and `wrong_nll` (I, J) are mean nll per token; NaN in `wrong_nll` marks an
    answer that the item does not have. An item without wrong answers gives NaN.
    """
    options = np.column_stack([right_nll, wrong_nll])
    scores = np.where(np.isnan(options), -np.inf, -options)
    chosen = np.exp(scores[:, 0] - scipy.special.logsumexp(scores, axis=1))
    undefined = np.isnan(right_nll) | np.isnan(wrong_nll).all(axis=1)
    return np.where(undefined, np.nan, chosen)


def truth_ratio(right_nll: Floats, wrong_nll: Floats, average: str = "geometric") -> Floats:
    """r = mean_j p(wrong_j) / p(right), each p length-normalised (TOFU, section 2.2).

    `right_nll` (I,) is the mean nll per token of the paraphrased answer, `wrong_nll` (I, J) of the
    wrong ones (NaN: the item has fewer). `average` is "geometric", exp of the mean log-probability
    (TOFU's code, open-unlearning, hence every published forget quality), or "arithmetic" (the
    formula printed in TOFU). An item without wrong answers gives NaN; a ratio beyond float64 gives
    inf.

    Raises `UserError` for an unknown `average`.
    """
    have = ~np.isnan(wrong_nll)
    count = have.sum(axis=1)
    if average == "geometric":
        log_wrong = -_divide(np.where(have, wrong_nll, 0.0).sum(axis=1), count)
    elif average == "arithmetic":
        total = np.where(have, -wrong_nll, -np.inf)
        total[count == 0] = np.nan
        log_wrong = scipy.special.logsumexp(total, axis=1) - np.log(np.maximum(count, 1))
    else:
        known = ["geometric", "arithmetic"]
        raise UserError(f"unknown truth-ratio average {average!r}{suggest(average, known)}")
    with np.errstate(over="ignore"):
        return np.exp(log_wrong + right_nll)


def truth_score(ratio: Floats, reading: str = "true_better") -> Floats:
    """A truth ratio (I,) as a score in [0, 1], by the reading that the set asks for.

    "true_better": max(0, 1 - r), for knowledge that should stay (utility). "closer_to_1_better":
    min(r, 1/r), for facts that should be forgotten. "prob_mean": 1 / (1 + r), the share of
    probability on the right answer. Raises `UserError` for another name.
    """
    if reading not in _READINGS:
        raise UserError(f"unknown truth-ratio reading {reading!r}{suggest(reading, _READINGS)}")
    with np.errstate(divide="ignore"):
        return _READINGS[reading](ratio)


_READINGS: dict[str, Callable[[Floats], Floats]] = {
    "true_better": lambda ratio: np.maximum(0.0, 1.0 - ratio),
    "closer_to_1_better": lambda ratio: np.minimum(ratio, 1.0 / ratio),
    "prob_mean": lambda ratio: 1.0 / (1.0 + ratio),
}


def _keep(table: TokenTable, keep: Mask) -> TokenTable:
    """The table with only the tokens in `keep` (N,); items stay, and may become empty."""
    columns = {f.name: getattr(table, f.name)[keep] for f in fields(table) if f.name != "offsets"}
    kept_before = np.concatenate([[0], np.cumsum(keep)])
    return TokenTable(offsets=kept_before[table.offsets], **columns)


def _needed(table: TokenTable) -> Floats:
    """k* (I,): 1 + position of the last wrong token inside its item, 0 if all are right."""
    position = np.arange(len(table.nll)) - np.repeat(table.offsets[:-1], np.diff(table.offsets))
    return _reduce(np.maximum, np.where(table.greedy, 0, position + 1), table.offsets)


def _reduce(ufunc: np.ufunc, values: NDArray[np.generic], offsets: NDArray[np.int64]) -> Floats:
    """`ufunc` over each item's values; 0 for an item that has none."""
    result = np.zeros(len(offsets) - 1)
    # reduceat gives an empty item its neighbour's value, so only the others are reduced.
    filled = np.diff(offsets) > 0
    if filled.any():
        result[filled] = ufunc.reduceat(values, offsets[:-1][filled])
    return result


def _mean(values: Floats, offsets: NDArray[np.int64]) -> Floats:
    return _divide(_reduce(np.add, values, offsets), np.diff(offsets))


def _lowest_mean(
    table: TokenTable, score: Callable[[TokenTable], Floats], fraction: float
) -> Floats:
    """Mean of the max(1, int(fraction * m)) lowest scores of each item; NaN where m = 0."""
    if not 0 < fraction <= 1:
        raise UserError(f"min-k fraction {fraction} is outside (0, 1]: use for example 0.2")
    count = np.diff(table.offsets)
    item = np.repeat(np.arange(len(count)), count)
    values = score(table)
    ordered = values[np.lexsort((values, item))]
    rank = np.arange(len(values)) - np.repeat(table.offsets[:-1], count)
    chosen = np.minimum(np.maximum(1, (fraction * count).astype(np.int64)), count)
    total = _reduce(np.add, np.where(rank < chosen[item], ordered, 0.0), table.offsets)
    return _divide(total, chosen)


def _divide(numerator: NDArray[np.generic], count: NDArray[np.generic]) -> Floats:
    """numerator / count, NaN where count is 0."""
    result = np.full(len(count), np.nan)
    np.divide(numerator, count, out=result, where=np.asarray(count) > 0)
    return result
