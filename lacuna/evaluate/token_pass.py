"""The one teacher-forced pass that gives every token statistic.

Logits are computed at labelled tokens only and reduced to five numbers a token before the next
batch is read, so a full-vocabulary table never exists for more than one batch.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lacuna.data.tokens import IGNORE, Encoded
from lacuna.data.trees import Trees
from lacuna.evaluate.token_table import TokenTable
from lacuna.model import wide
from lacuna.model.trees import laid_out, tree_logits
from lacuna.model_types import PreTrainedModel
from lacuna.train import Front

COLUMNS = 4
"""nll, greedy, mean, variance."""

BLOCK = {"cpu": 2**20}
"""Logits reduced at a time, by device: on a CPU what fits its caches (4x faster with `spread`)."""


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
    padding or on which items share a batch or a prompt (up to float rounding in the model itself).
    """
    trees = laid_out(model, Trees(encoded, max_tokens))
    return read_trees(model, trees, end_token, spread=spread).table


class Read(NamedTuple):
    """What one pass over texts found."""

    table: TokenTable
    said: NDArray[np.int64]
    """The most likely next token behind every token of the trees, by number; -1: not asked."""


@torch.no_grad()
def read_trees(
    model: PreTrainedModel,
    trees: Trees,
    end_token: int | None,
    *,
    spread: bool = False,
    front: Front | None = None,
) -> Read:
    """`read` of texts that are laid out already, for a model that `laid_out` found able to.

    `front` remembers what it computes before the first weight that moves between two readings.
    """
    columns = np.full((COLUMNS, trees.offsets[-1]), np.nan)
    said = np.full(trees.size, -1)
    for batch in trees.batches:
        with nullcontext() if front is None else front.reading(batch):
            logits_KV = tree_logits(model, batch)
        here = batch.to(logits_KV.device)
        places = described(logits_KV, spread)
        columns[:, batch.table_N] = statistics(logits_KV, here.labels_N, here.from_N, places)
        said[batch.nodes_K] = places.said_K.cpu().numpy()
    return Read(to_table(columns, trees.encoded, trees.offsets, end_token), said)


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


class Described(NamedTuple):
    """The distributions at K places, each in four numbers."""

    norm_K: Tensor
    """log of the sum of all exp(logit)."""
    said_K: Tensor
    """The most likely token."""
    mean_K: Tensor
    """Mean of log p under p; NaN where it was not asked for, as is the next."""
    variance_K: Tensor


def described(logits_KV: Tensor, spread: bool) -> Described:
    """A few places at a time: temporaries stay small; the numbers are the same."""
    rows = max(1, BLOCK.get(logits_KV.device.type, 2**27) // logits_KV.shape[1])
    parts = [_described(part, spread) for part in logits_KV.split(rows)]
    return Described(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _described(logits_KV: Tensor, spread: bool) -> Described:
    logits_KV = wide(logits_KV)
    norm_K, said_K = torch.logsumexp(logits_KV, dim=-1), logits_KV.argmax(dim=-1)
    if not spread:
        nothing_K = torch.full_like(norm_K, torch.nan)
        return Described(norm_K, said_K, nothing_K, nothing_K)
    logp_KV = logits_KV - norm_K[:, None]
    p_KV = logp_KV.exp()
    mean_K = (p_KV * logp_KV).sum(-1)
    variance_K = (p_KV * (logp_KV - mean_K[:, None]).square()).sum(-1)
    return Described(norm_K, said_K, mean_K, variance_K)


def statistics(
    logits_KV: Tensor, labels_N: Tensor, from_N: Tensor, places: Described
) -> NDArray[np.float64]:
    """(4, N) of labels, each predicted at one of the places: -log p(label); 1 if it is the most
    likely token; mean and variance of log p under p."""
    nll_N = places.norm_K[from_N] - logits_KV[from_N, labels_N].to(places.norm_K)
    greedy_N = (places.said_K[from_N] == labels_N).to(nll_N)
    rows = torch.stack([nll_N, greedy_N, places.mean_K[from_N], places.variance_K[from_N]])
    return np.asarray(rows.cpu().double().numpy())


def numbers(logits_NV: Tensor, labels_N: Tensor, spread: bool) -> NDArray[np.float64]:
    """`statistics` of labels that are predicted at a place each."""
    each_N = torch.arange(len(labels_N), device=labels_N.device)
    return statistics(logits_NV, labels_N, each_N, described(logits_NV, spread))


def _closing(encoded: Sequence[Encoded], offsets: np.ndarray, end_token: int | None) -> np.ndarray:
    """Marks the last labelled token of an item where it is the end-of-text token."""
    closing = np.zeros(offsets[-1], dtype=bool)
    for i, row in enumerate(encoded):
        labels = [label for label in row.labels[1:] if label != IGNORE]
        if labels and labels[-1] == end_token:
            closing[offsets[i + 1] - 1] = True
    return closing
