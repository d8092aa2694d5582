"""Gradients of editable weights outside the training loop."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from torch import Tensor

from lacuna.data.tokens import IGNORE, Batch, Encoded, collate, reading_batches
from lacuna.model.forward import answers
from lacuna.model_types import PreTrainedModel
from lacuna.train import Editable, Values, mean_nll


def gradient(weights: Editable, loss: Callable[[], Tensor]) -> Values:
    """Gradient of `loss` on the masters that it reaches; gradients that they hold stay.

    To be called while the weights are in training.
    """
    held = {name: master.grad for name, master in weights.masters.items()}
    for master in weights.masters.values():
        master.grad = None
    value = loss()
    if value.requires_grad:  # not where the weights lie above all that the loss reads
        value.backward()
    weights.gather_gradients()
    found = {n: master.grad for n, master in weights.masters.items() if master.grad is not None}
    for name, master in weights.masters.items():
        master.grad = held[name]
    return found


def split_gradient(
    model: PreTrainedModel, weights: Editable, texts: Sequence[Encoded], max_tokens: int = 4096
) -> Values:
    """Gradient of the token-mean NLL over all answers, as one batch of them would give it.

    To be called while the weights are in training.
    """
    tokens = sum(label != IGNORE for text in texts for label in text.labels[1:])
    total: Values = {}
    for batch in reading_batches(texts, max_tokens):
        found = gradient(weights, partial(_share, model, batch.to(model.device), tokens))
        for name, value in found.items():
            total[name] = total[name] + value if name in total else value
    return total


def text_gradients(
    model: PreTrainedModel, weights: Editable, texts: Sequence[Encoded]
) -> Iterator[Values]:
    """Gradient of the token-mean NLL of each text's answer, text by text."""
    with weights.training():
        for text in texts:
            batch = collate([text], [0]).to(model.device)
            yield gradient(weights, partial(_answer_nll, model, batch))


def _answer_nll(model: PreTrainedModel, batch: Batch) -> Tensor:
    return mean_nll(answers(model, batch))


def _share(model: PreTrainedModel, batch: Batch, tokens: int) -> Tensor:
    return answers(model, batch).nll_N.sum() / tokens
