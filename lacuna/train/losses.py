"""Losses that several stages share."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from lacuna.data.tokens import Encoded, TrainingBatches
from lacuna.model.forward import Answers, answers, wide
from lacuna.model_types import PreTrainedModel
from lacuna.train.loop import Loss, LossFunction


def mean_nll(said: Answers) -> Tensor:
    """Mean -log p over all labelled tokens of the batch (not per sequence)."""
    return said.nll_N.mean()


def mean_kl(logits_NV: Tensor, wanted_NV: Tensor) -> Tensor:
    """Mean over positions of KL(wanted || model), both given as logits."""
    logp_NV, wanted_NV = (wide(x).log_softmax(dim=-1) for x in (logits_NV, wanted_NV))
    return F.kl_div(logp_NV, wanted_NV, log_target=True, reduction="batchmean")


def language_loss(
    model: PreTrainedModel, texts: Sequence[Encoded], batch_size: int, seed: int
) -> LossFunction:
    """Ordinary causal-LM loss on shuffled batches of `texts`."""
    batches = TrainingBatches(texts, batch_size, seed)

    def loss(i: int) -> Loss:
        return Loss(mean_nll(answers(model, batches[i].to(model.device))))

    return loss
