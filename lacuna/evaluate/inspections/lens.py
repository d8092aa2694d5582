"""Logit lens: what each layer's output would say if it were the last (nostalgebraist 2020).

Every layer's output at the answer's places goes through the model's own last norm and head, which
gives a token table per layer: any metric of `metrics` can be read layer by layer, and the last
table is the ordinary one. A model that hides an answer in its last layers only has it in the middle
and not at the end; `lens_gap` is that difference (in-context knowledge unlearning's "pretend gap").
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from lacuna.data.tokens import IGNORE, Encoded, reading_batches
from lacuna.evaluate.token_pass import COLUMNS, answer_offsets, numbers, places, to_table
from lacuna.evaluate.token_table import TokenTable
from lacuna.model.hidden import decoder_layers, outputs, read_out
from lacuna.model_types import PreTrainedModel

Floats = NDArray[np.float64]


@torch.no_grad()
def read_layers(
    model: PreTrainedModel,
    encoded: Sequence[Encoded],
    *,
    end_token: int | None,
    max_tokens: int = 4096,
) -> list[TokenTable]:
    """A token table per layer, first to last, without the spread that min-k++ needs.

    As `read`, but all layers' outputs of one batch are held at once: (layers, `max_tokens`, width).
    """
    offsets, layers = answer_offsets(encoded), decoder_layers(model)
    columns = np.full((len(layers), COLUMNS, offsets[-1]), np.nan)
    for batch in reading_batches(encoded, max_tokens):
        batch = batch.to(model.device)
        labels_BT = batch.labels_BT[:, 1:]
        keep_BT = labels_BT != IGNORE
        where, labels_N = places(offsets, batch.index_B), labels_BT[keep_BT]
        for layer, hidden_BTD in enumerate(outputs(model, batch, layers)):
            logits_NV = read_out(model, hidden_BTD[:, :-1][keep_BT])
            columns[layer][:, where] = numbers(logits_NV, labels_N, spread=False)
    return [to_table(table, encoded, offsets, end_token) for table in columns]


def lens_gap(by_layer_LI: Floats) -> Floats:
    """max over layers before the last, minus the last: (L, I) to (I,); NaN for a single layer.

    For a score that is high where the answer is known. Above 0: a middle layer knows better than
    the model says.
    """
    if len(by_layer_LI) < 2:
        return np.full(by_layer_LI.shape[1], np.nan)
    gap: Floats = by_layer_LI[:-1].max(axis=0) - by_layer_LI[-1]
    return gap
