"""Losses that several stages share."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from lacuna.data.tokens import Encoded, TrainingBatches
from lacuna.model.forward import Answers, answers, wide
from lacuna.train.loop import Loss, LossFunction


def mean_nll(said: Answers) -> Tensor:
    """Mean -log p over all labelled tokens of the batch (not per sequence)."""
    return said.nll_N.mean()


def mean_kl(logits_NV: Tensor, wanted_NV: Tensor) -> Tensor:
    """Mean over positions of KL(wanted || model), both given as logits."""
    logp_NV, wanted_NV = (wide(x).log_softmax(dim=-1) for x in (logits_NV, wanted_NV))
    return F.kl_div(logp_NV, wanted_NV, log_target=True, reduction="batchmean")


class Share(NamedTuple):
    """Which rows of every batch one of several processes computes: each `of`-th, from `rank`."""

    rank: int = 0
    of: int = 1


WHOLE = Share()
"""One process computes all of it."""


def language_loss(
    model: PreTrainedModel,
    texts: Sequence[Encoded],
    batch_size: int,
    seed: int,
    share: Share = WHOLE,
) -> LossFunction:
    """Ordinary causal-LM loss on shuffled batches of `texts`.

    That of a share is scaled by its labelled tokens: the mean over all shares is the mean over all
    tokens of the batch. A process without a row computes one that counts for nothing.
    """
    batches = TrainingBatches(texts, batch_size, seed)

    def loss(i: int) -> Loss:
        batch = batches[i]
        mine = batch.rows(slice(share.rank, None, share.of))
        weight = share.of * mine.predicted / max(1, batch.predicted)
        if not len(mine.index_B):
            mine = batch.rows(slice(0, 1))
        return Loss(weight * mean_nll(answers(model, mine.to(model.device))))

    return loss
