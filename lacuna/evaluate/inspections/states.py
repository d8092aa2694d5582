"""Hidden states where an answer begins: what a model is about to say, layer by layer."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from lacuna.data.tokens import IGNORE, Encoded, Tokenizer, reading_batches
from lacuna.errors import UserError
from lacuna.model.hidden import decoder_layers, outputs
from lacuna.model_types import PreTrainedModel


def answer_start(tokenizer: Tokenizer, text: Encoded) -> tuple[int, int]:
    """(place, token): the answer's first token that is not blank, and where it is predicted from.

    Many tokenizers put a lone space before a number; everybody's answer begins with that one, so it
    says nothing. Raises `UserError` where all of the answer is blank.
    """
    for place, label in enumerate(text.labels[1:]):
        if label != IGNORE and str(tokenizer.decode([label])).strip():
            return place, label
    raise UserError(
        f"the answer of {tokenizer.decode(text.ids)!r} is blank: give every question an answer, or "
        f"set evaluate.representations=false"
    )


@torch.no_grad()
def layer_states(
    model: PreTrainedModel,
    encoded: Sequence[Encoded],
    places: Sequence[int],
    *,
    max_tokens: int = 4096,
) -> NDArray[np.float32]:
    """Each layer's output at one place of each text, (L, I, D), in the given order.

    All layers' outputs of one batch are held at once: (L, `max_tokens`, D).
    """
    layers = decoder_layers(model)
    width = model.get_output_embeddings().in_features
    states = np.full((len(layers), len(encoded), width), np.nan, dtype=np.float32)
    for batch in reading_batches(encoded, max_tokens):
        index = batch.index_B.numpy()
        where_B = torch.tensor([places[i] for i in index], device=model.device)
        rows_B = torch.arange(len(index), device=model.device)
        for layer, hidden_BTD in enumerate(outputs(model, batch.to(model.device), layers)):
            states[layer, index] = hidden_BTD[rows_B, where_B].float().cpu().numpy()
    return states
