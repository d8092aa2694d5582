"""The one teacher-forced pass that gives every token statistic.

Logits are computed at labelled tokens only and reduced to five numbers a token before the next
batch is read, so a full-vocabulary table never exists for more than one batch.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from lacuna.data.tokens import IGNORE, Encoded, reading_batches
from lacuna.evaluate.token_table import TokenTable
from lacuna.model.forward import answers

COLUMNS = 4
"""nll, greedy, mean, variance."""

BLOCK = {"cpu": 2**20}
"""Logits reduced at a time, by device: on a CPU what fits its caches (4x faster with `spread`)."""


@torch.no_grad()
def read(
    model: PreTrainedModel,
    encoded: Sequence[Encoded],
    *,
    end_token: int | None,
    max_tokens: int = 4096,
    spread: bool = True,
) -> TokenTable:
    """Statistics of every labelled token of `encoded`, item after item, in the given order.

    `max_tokens` bounds a batch, padding counted. `spread` also computes the mean and variance of
    log p under p that min-k++ needs; without it they are NaN. The result does not depend on
    padding or on which items share a batch (up to float rounding in the model itself).
    """
    offsets = answer_offsets(encoded)
    table = np.full((COLUMNS, offsets[-1]), np.nan)
    for batch in reading_batches(encoded, max_tokens):
        said = answers(model, batch.to(model.device))
        where = places(offsets, batch.index_B)
        table[:, where] = numbers(said.logits_NV, said.labels_N, spread)
    return to_table(table, encoded, offsets, end_token)


def answer_offsets(encoded: Sequence[Encoded]) -> NDArray[np.int64]:
    """(I+1,) where each item's labelled tokens start in a table, and where the last one's end."""
    counts = [sum(label != IGNORE for label in row.labels[1:]) for row in encoded]
    return np.concatenate([[0], np.cumsum(np.array(counts, dtype=np.int64))])


def places(offsets: NDArray[np.int64], index_B: Tensor) -> NDArray[np.int64]:
    """Where in a table the labelled tokens of a batch stand, row after row."""
    return np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in index_B.tolist()])


def to_table(
    columns: NDArray[np.float64],
    encoded: Sequence[Encoded],
    offsets: NDArray[np.int64],
    end_token: int | None,
) -> TokenTable:
    """The table of `numbers` collected over all batches."""
    return TokenTable(
        offsets=offsets,
        nll=columns[0],
        greedy=columns[1] == 1,
        mean=columns[2],
        variance=columns[3],
        end=_closing(encoded, offsets, end_token),
    )


def numbers(logits_NV: Tensor, labels_N: Tensor, spread: bool) -> NDArray[np.float64]:
    """`statistics`, a few tokens at a time: temporaries stay small; the numbers are the same."""
    rows = max(1, BLOCK.get(logits_NV.device.type, 2**27) // logits_NV.shape[1])
    pairs = zip(logits_NV.split(rows), labels_N.split(rows), strict=True)
    found = torch.cat([statistics(*pair, spread) for pair in pairs], dim=1)
    return np.asarray(found.cpu().double().numpy())


def statistics(logits_NV: Tensor, labels_N: Tensor, spread: bool) -> Tensor:
    """(4, N): -log p(label); 1 if it is the argmax; mean and variance of log p under p."""
    logits_NV = logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
    norm_N = torch.logsumexp(logits_NV, dim=-1)
    chosen_N = logits_NV.gather(1, labels_N[:, None])[:, 0]
    greedy_N = (logits_NV.argmax(dim=-1) == labels_N).to(norm_N)
    if spread:
        logp_NV = logits_NV - norm_N[:, None]
        p_NV = logp_NV.exp()
        mean_N = (p_NV * logp_NV).sum(-1)
        variance_N = (p_NV * (logp_NV - mean_N[:, None]).square()).sum(-1)
    else:
        mean_N = variance_N = torch.full_like(norm_N, torch.nan)
    return torch.stack([norm_N - chosen_N, greedy_N, mean_N, variance_N])


def _closing(encoded: Sequence[Encoded], offsets: np.ndarray, end_token: int | None) -> np.ndarray:
    """Marks the last labelled token of an item where it is the end-of-text token."""
    closing = np.zeros(offsets[-1], dtype=bool)
    for i, row in enumerate(encoded):
        labels = [label for label in row.labels[1:] if label != IGNORE]
        if labels and labels[-1] == end_token:
            closing[offsets[i + 1] - 1] = True
    return closing
