"""Membership inference: can one tell forgotten facts from facts that were never trained on?

Every attack gives each item a score that is low for text the model was trained on:

    loss             mean nll per token                                   (Yeom et al. 2018)
    zlib             loss, per byte of the compressed answer              (Carlini et al. 2021)
    reference        loss, minus the retained model's                     (Watson et al. 2022)
    min_k            minus the mean of the lowest 40% of log-probabilities     (Shi et al. 2024)
    min_k_plus_plus  the same, each standardised at its position          (Zhang et al. 2025)
    gradnorm         mean 2-norm of the loss's gradient over weight tensors

Members are the forget questions, non-members those of the holdout people. AUC 1/2: nobody can
tell. Above: facts are left. Below: they are less likely than those of strangers, which gives them
away as well. Limits: a model that never saw the members has 1/2 only if both groups are drawn
alike, so read every AUC beside the retained model's.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import scipy
import torch
from numpy.typing import ArrayLike, NDArray

from lacuna.data.tokens import IGNORE, Encoded, collate
from lacuna.evaluate import metrics
from lacuna.evaluate.token_table import TokenTable
from lacuna.model.forward import answers
from lacuna.model_types import PreTrainedModel

Floats = NDArray[np.float64]
FRACTION = 0.4
"""Share of tokens that min-k reads (open-unlearning's and MUSE's choice for PrivLeak)."""


def table_scores(table: TokenTable, texts: Sequence[str]) -> dict[str, Floats]:
    """Scores (I,) of the attacks that one token table decides; `texts` are the I answers."""
    loss = -metrics.mean_logp(table)
    return {
        "loss": loss,
        "zlib": zlib_score(loss, texts),
        "min_k": metrics.min_k(table, FRACTION),
        "min_k_plus_plus": metrics.min_k_plus_plus(table, FRACTION),
    }


def zlib_score(loss: Floats, texts: Sequence[str]) -> Floats:
    """Mean nll per token (I,) over the bytes of each text's UTF-8 after zlib compression."""
    return np.asarray(loss / [len(zlib.compress(text.encode())) for text in texts])


def gradient_norms(
    model: PreTrainedModel,
    encoded: Sequence[Encoded],
    *,
    end_token: int | None,
    order: float = 2.0,
) -> Floats:
    """Mean over weight tensors of the `order`-norm of the gradient of each item's loss, (I,).

    The loss is the mean nll of the body (the end-of-text token that closes an item is left out); an
    item without a body gives NaN. One backward pass per item through all weights; the model keeps
    no gradient and carries as few of them afterwards as before.
    """
    weights = list(model.parameters())
    before = [weight.requires_grad for weight in weights]
    model.requires_grad_(True)
    try:
        norms = [_gradient_norm(model, body_labels(row, end_token), order) for row in encoded]
    finally:
        for weight, on in zip(weights, before, strict=True):
            weight.requires_grad_(on)
    return np.array(norms, dtype=np.float64)


def _gradient_norm(model: PreTrainedModel, row: Encoded, order: float) -> float:
    if all(label == IGNORE for label in row.labels[1:]):
        return float("nan")
    with torch.enable_grad():
        loss = answers(model, collate([row], [0]).to(model.device)).nll_N.mean()
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    norms = [g.float().norm(order) for g in found if g is not None]
    return float(torch.stack(norms).mean())


def body_labels(row: Encoded, end_token: int | None) -> Encoded:
    """The text without the label of the end-of-text token that closes it."""
    last = max((t for t, label in enumerate(row.labels) if label != IGNORE), default=0)
    if end_token is None or row.labels[last] != end_token:
        return row
    return Encoded(row.ids, [*row.labels[:last], IGNORE, *row.labels[last + 1 :]])


def auc(members: ArrayLike, nonmembers: ArrayLike) -> float:
    """P(a non-member scores above a member), ties half: the area under the attack's ROC curve.

    Undefined scores (NaN) are left out; NaN where a side has none left.
    """
    low, high = (np.asarray(side, float) for side in (members, nonmembers))
    low, high = low[~np.isnan(low)], high[~np.isnan(high)]
    if not len(low) or not len(high):
        return float("nan")
    ranks = scipy.stats.rankdata(np.concatenate([high, low]))[: len(high)]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def privleak(auc_unlearned: float, auc_retained: float) -> float:
    """100 ((1 - AUC) - (1 - AUC_r)) / (1 - AUC_r) in percent, of min-k (MUSE, Shi et al. 2024).

    0 is the retained model; negative: facts are left; positive: forgotten beyond never having been
    known. NaN where AUC_r = 1.
    """
    return relative_difference(1 - auc_unlearned, 1 - auc_retained)


def relative_difference(value: float, reference: float) -> float:
    """100 (value - reference) / reference, in percent; NaN where the reference is 0."""
    return 100 * (value - reference) / reference if reference else float("nan")
