"""One forward pass that computes logits only where a label asks for them.

Shapes: B sequences, T tokens, N labelled tokens, V vocabulary.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lacuna.data.tokens import IGNORE, Batch
from lacuna.model.shared_forward import whole
from lacuna.model_types import PreTrainedModel


class Answers(NamedTuple):
    """What the model says at each labelled token."""

    logits_NV: Tensor
    labels_N: Tensor
    row_N: Tensor
    """Which row of the batch a token belongs to (ascending)."""
    index_B: Tensor
    """The rows' positions in the list that the batch was drawn from."""

    @property
    def nll_N(self) -> Tensor:
        """-log p(label), in float32 or better."""
        return nn.functional.cross_entropy(wide(self.logits_NV), self.labels_N, reduction="none")

    def sum_rows(self, values_N: Tensor) -> Tensor:
        """(B,) sums over each row's labelled tokens."""
        return values_N.new_zeros(len(self.index_B)).index_add(0, self.row_N, values_N)

    @property
    def count_B(self) -> Tensor:
        """Labelled tokens per row."""
        return torch.bincount(self.row_N, minlength=len(self.index_B))


def answers(model: PreTrainedModel, batch: Batch) -> Answers:
    """Teacher-forced logits at the labelled tokens; the head never sees the other positions.

    The label at position t is predicted at t - 1; a label at position 0 is not predicted.
    """
    labels_BT = batch.labels_BT[:, 1:]
    keep_BT = labels_BT != IGNORE
    logits_NV = logits_at(model, batch, keep_BT)
    return Answers(logits_NV, labels_BT[keep_BT], keep_BT.nonzero()[:, 0], batch.index_B)


def logits_at(
    model: PreTrainedModel, batch: Batch, keep_BT: Tensor, *, padding_too: bool = False
) -> Tensor:
    """(N, V) logits at the kept positions, row by row.

    `padding_too`: some of them are padding, which then must not attend to padding.
    """
    width = max(1, keep_BT.shape[1])  # nothing looks ahead: what comes later is not computed
    mask_BT = batch.real_BT[:, :width].long() if padding_too else None
    with head_only_at(model, keep_BT):
        output = model(input_ids=batch.ids_BT[:, :width], attention_mask=mask_BT, use_cache=False)
    logits_NV: Tensor = output.logits[0]
    return logits_NV


def wide(logits: Tensor) -> Tensor:
    """The logits in float32 or better: bfloat16 is too coarse for a loss."""
    return logits if logits.dtype == torch.float64 else logits.float()


@contextmanager
def head_only_at(model: PreTrainedModel, keep_BT: Tensor) -> Iterator[None]:
    """Within the block the output head gets the kept positions only, as one row (1, N, d).

    `keep_BT` may be shorter than the sequence: later positions are dropped. Works for every
    architecture whose head is applied once, whatever it does to the logits afterwards.
    """
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Module)

    def select(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden_BTD = whole(model, args[0])
        return (hidden_BTD[:, : keep_BT.shape[1]][keep_BT][None], *args[1:])

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
