"""Log-probabilities of the answers under the injected model, read in large batches."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lacuna.data.tokens import Encoded, reading_batches
from lacuna.model.forward import answers
from lacuna.model_types import PreTrainedModel
from lacuna.unlearn.base import Objective, Reference, UnlearnData


def reference(model: PreTrainedModel, objective: Objective, data: UnlearnData) -> Reference:
    """The injected model's log-probabilities, computed only for an objective that needs them."""
    if not objective.needs_reference:
        return Reference(torch.zeros(0))
    tokens = answer_token_nll(model, data.forget)
    refusals = answer_nll(model, data.refusals) if objective.needs_refusals else None
    return Reference(_sums(tokens), refusals, tokens)


def answer_nll(
    model: PreTrainedModel, encoded: Sequence[Encoded], max_tokens: int = 4096
) -> Tensor:
    """(examples,) sums of -log p over the answers, float64."""
    return _sums(answer_token_nll(model, encoded, max_tokens))


def _sums(tokens: Sequence[Tensor]) -> Tensor:
    return torch.stack([nll_N.sum() for nll_N in tokens])


@torch.no_grad()
def answer_token_nll(
    model: PreTrainedModel, encoded: Sequence[Encoded], max_tokens: int = 4096
) -> list[Tensor]:
    """-log p of each answer's tokens, in the order of the examples, float64 on the CPU."""
    found = [torch.zeros(0)] * len(encoded)
    for batch in reading_batches(encoded, max_tokens):
        said = answers(model, batch.to(model.device))
        rows = said.nll_N.double().cpu().split(said.count_B.tolist())
        for index, nll_N in zip(batch.index_B.tolist(), rows, strict=True):
            found[index] = nll_N
    return found
