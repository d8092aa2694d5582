"""Losses that several stages share."""

from collections.abc import Sequence

from torch import Tensor
from transformers import PreTrainedModel

from lacuna.data.tokens import Encoded, TrainingBatches
from lacuna.model.forward import Answers, answers
from lacuna.train.loop import Loss, LossFunction


def mean_nll(said: Answers) -> Tensor:
    """Mean -log p over all labelled tokens of the batch (not per sequence)."""
    return said.nll_N.mean()


def language_loss(
    model: PreTrainedModel, texts: Sequence[Encoded], batch_size: int, seed: int
) -> LossFunction:
    """Ordinary causal-LM loss on shuffled batches of `texts`."""
    batches = TrainingBatches(texts, batch_size, seed)
    return lambda i: Loss(mean_nll(answers(model, batches[i].to(model.device))))
