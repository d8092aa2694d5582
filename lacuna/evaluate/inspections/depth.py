r"""Unlearning Depth Score (UDS; arXiv:2605.24614): what is left inside, by patching activations.

    s     = mean_t log p_o(y_t)                          the injected model o on an answer's tokens
    d1_l  = s - s_l(retained),   d2_l = s - s_l(model)
    UDS   = sum_l d1_l clip(d2_l / d1_l, 0, 1) / sum_l d1_l     over the layers with d1_l > 0.05

s_l(m) is s once layer l of o puts out what layer l of m does where the answer is predicted: a layer
of the model from which o cannot tell the answer any more has lost it as the retained model never
had it. Causal, and of the inside: a model that hides an answer in its last layers has a small
score. d1 by layer says where the injected model holds the facts. Limits: 1 for the retained model,
0 for the injected one; None for facts that no layer of the injected model holds above the
threshold. One pass per layer and model besides the states. Shapes: L layers, I items, N answer
tokens of a batch, D width.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lacuna.data.tokens import IGNORE, Batch, Encoded, reading_batches
from lacuna.model.forward import answers
from lacuna.model.hidden import Output, decoder_layers, outputs
from lacuna.model_types import PreTrainedModel

Floats = NDArray[np.float64]
THRESHOLD = 0.05
"""Nats a token that a layer must be worth to count."""
States = Sequence[Tensor]
"""A batch's layer outputs where answer tokens are predicted, (L, N, D), for each batch."""


@torch.no_grad()
def answer_states(
    model: PreTrainedModel, encoded: Sequence[Encoded], max_tokens: int = 4096
) -> States:
    """What every layer puts out at the places that predict the answers, on the CPU."""
    layers, found = decoder_layers(model), []
    for batch in reading_batches(encoded, max_tokens):
        keep_BT = _asked(batch)
        states = outputs(model, batch.to(model.device), layers)
        found.append(torch.stack([h_BTD[:, :-1].cpu()[keep_BT] for h_BTD in states]))
    return found


@torch.no_grad()
def drops(
    model: PreTrainedModel,
    encoded: Sequence[Encoded],
    given: Mapping[str, States],
    *,
    end_token: int | None,
    max_tokens: int = 4096,
) -> dict[str, Floats]:
    """By name (L, I): what each answer's mean log-probability loses to another model's layer.

    The tokens that close answers do not count; an answer without others gives NaN.
    """
    layers = decoder_layers(model)
    found = {name: np.full((len(layers), len(encoded)), np.nan) for name in given}
    for number, batch in enumerate(reading_batches(encoded, max_tokens)):
        index, keep_BT = batch.index_B.tolist(), _asked(batch).to(model.device)
        batch = batch.to(model.device)
        whole_B = _means(model, batch, end_token)
        for name, states in given.items():
            for place, layer in enumerate(layers):
                with patched(layer, states[number][place].to(model.device), keep_BT):
                    found[name][place, index] = whole_B - _means(model, batch, end_token)
    return found


def depth_scores(retained_LI: Floats, model_LI: Floats) -> Floats:
    """(I,) UDS of each item; NaN where no layer is worth more than the threshold."""
    held_LI = retained_LI > THRESHOLD
    worth_LI = np.where(held_LI, retained_LI, 0.0)
    lost_LI = np.where(held_LI, np.clip(model_LI, 0, worth_LI), 0.0)
    total_I = worth_LI.sum(axis=0)
    scores: Floats = np.full(len(total_I), np.nan)
    np.divide(lost_LI.sum(axis=0), total_I, out=scores, where=total_I > 0)
    return scores


@contextmanager
def patched(layer: nn.Module, states_ND: Tensor, keep_BT: Tensor) -> Iterator[None]:
    """Within the block the layer puts out the given states at the kept places."""

    def put(module: nn.Module, args: tuple[Tensor, ...], output: Output) -> Output:
        hidden = output[0] if isinstance(output, tuple) else output
        changed = hidden.clone()
        rows = changed.view(*keep_BT.shape, -1)
        rows[keep_BT] = states_ND.to(changed)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = layer.register_forward_hook(put)
    try:
        yield
    finally:
        handle.remove()


def _asked(batch: Batch) -> Tensor:
    return batch.labels_BT[:, 1:] != IGNORE


def _means(model: PreTrainedModel, batch: Batch, end_token: int | None) -> Floats:
    """(B,) mean log-probability of each answer without the token that closes it."""
    said = answers(model, batch)
    body_N = torch.ones_like(said.labels_N, dtype=torch.bool)
    if end_token is not None:
        body_N = said.labels_N != end_token
    total_B = said.sum_rows(said.nll_N.double() * body_N)
    return (-total_B / said.sum_rows(body_N.double())).cpu().numpy().astype(np.float64)
