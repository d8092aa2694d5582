"""Reads texts that are laid out as trees, where the model can."""

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor

from lacuna.data.tokens import Encoded
from lacuna.data.trees import TreeBatch, Trees
from lacuna.model.forward import head_only_at
from lacuna.model_types import PreTrainedModel

_CANNOT = (TypeError, ValueError, RuntimeError, IndexError)
"""What models raise that take no mask of their caller's."""


def laid_out(model: PreTrainedModel, trees: Trees) -> Trees:
    """The trees as they are, or every text alone for a model that cannot read them.

    Some architectures have no say in what a token attends to, or count positions by themselves: so
    the longest rows are read both ways, and their logits must be equal but for rounding.
    """
    texts = trees.extremes
    if not texts or _reads(model, texts, trees.max_tokens):
        return trees
    return Trees(trees.encoded, trees.max_tokens, share=False)


@torch.no_grad()
def _reads(model: PreTrainedModel, texts: Sequence[Encoded], max_tokens: int) -> bool:
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return False
    if getattr(model.config, "_attn_implementation", None) not in ("sdpa", "eager"):
        return False
    alone = _labelled_logits(model, Trees(texts, max_tokens, share=False))
    try:
        together = _labelled_logits(model, Trees(texts, max_tokens))
    except _CANNOT:
        return False
    rounding = torch.finfo(alone.dtype).eps ** 0.5 * float(alone.abs().max())
    return bool(float((together - alone).abs().max()) <= rounding)


def _labelled_logits(model: PreTrainedModel, trees: Trees) -> Tensor:
    """(N, V) in the order of the labelled tokens."""
    rows: list[Tensor] = []
    places: list[int] = []
    for batch in trees.batches:
        rows.append(tree_logits(model, batch)[batch.from_N.to(model.device)])
        places += batch.table_N.tolist()
    return torch.cat(rows)[torch.tensor(places, device=model.device).argsort()]


def tree_logits(model: PreTrainedModel, batch: TreeBatch) -> Tensor:
    """(K, V) logits at the kept places, row by row."""
    here = batch.to(model.device)
    told: dict[str, Tensor] = {}
    if here.branching:  # else causal attention and places are what they are by default
        unseen_R1TT = ~here.sees_RTT[:, None]
        mask_R1TT = torch.zeros(unseen_R1TT.shape, dtype=model.dtype, device=model.device)
        mask_R1TT.masked_fill_(unseen_R1TT, torch.finfo(model.dtype).min)
        told = {"attention_mask": mask_R1TT, "position_ids": here.depth_RT}
    with head_only_at(model, here.keep_RT):
        output = model(input_ids=here.ids_RT, use_cache=False, **told)
    logits_KV: Tensor = output.logits[0]
    return logits_KV
