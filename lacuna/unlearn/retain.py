r"""Retain terms: what holds the rest in place while an objective unlearns.

    nll      mean_t -log p(y_t)                                 the facts to keep (default)
    kl       mean_t KL(p_0(. | y_<t) || p(. | y_<t))            the injected model's distributions
    kl_peer  the same over every position, prompt and padding included
    hidden   mean_l mean_t |h_l(t) - h_l^0(t)|^2 / D            the injected model's hidden states

t runs over the answer tokens of the retain batch; p_0 and h^0 belong to the model before
unlearning. `kl_peer` is open-unlearning's form (commit d3d7cf9): its value depends on the padding.
`hidden` compares the outputs of all layers, or of those the objective names.
Limits: `kl`, `kl_peer` and `hidden` are zero, without slope, at the injected model.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lacuna.data.tokens import IGNORE, Batch
from lacuna.model import answers, logits_at, wide
from lacuna.model.hidden import outputs
from lacuna.model_types import PreTrainedModel
from lacuna.train import mean_kl

RETAIN = ("nll", "kl", "kl_peer", "hidden")

View = Callable[[PreTrainedModel], Tensor]
"""A function of a model, such as its logits on a batch."""
AskOriginal = Callable[[View], Tensor]
"""Applies a view to the model as it was before unlearning, without gradients."""
Layers = Callable[[PreTrainedModel], list[nn.Module]]
"""Picks decoder layers of a model."""


def distance_to_original(
    kind: str, model: PreTrainedModel, batch: Batch, original: AskOriginal, layers: Layers
) -> Callable[[], Tensor]:
    """The retain term `kl`, `kl_peer` or `hidden`; `layers` are those that `hidden` compares.

    Asks the original at once, the current model only when the result is called.
    """
    view = _view(kind, batch, layers)
    compare = F.mse_loss if kind == "hidden" else mean_kl
    before = original(view)
    return lambda: compare(view(model), before)


def _view(kind: str, batch: Batch, layers: Layers) -> View:
    if kind == "hidden":
        return lambda model: hidden_states(model, batch, layers(model))
    if kind == "kl":
        return lambda model: answers(model, batch).logits_NV
    everywhere_BT = torch.ones_like(batch.ids_BT, dtype=torch.bool)
    return lambda model: logits_at(model, batch, everywhere_BT, padding_too=True)


def hidden_states(model: PreTrainedModel, batch: Batch, layers: list[nn.Module]) -> Tensor:
    """(layers, answer tokens, D): what each of `layers` puts out at the labelled positions."""
    answer_BT = batch.labels_BT != IGNORE
    return wide(torch.stack([h_BTD[answer_BT] for h_BTD in outputs(model, batch, layers)]))
