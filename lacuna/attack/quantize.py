"""Quantization: round every linear layer's weights to nearest and see what comes back.

Symmetric, one scale per output row: w -> s round(w / s), s = max|row| / (2^(bits-1) - 1). Rounding
can undo small unlearning updates (Zhang et al. 2024, arXiv:2410.16454). The output head and the
embeddings stay as they are, as common quantizers leave them.
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lacuna.attack.base import Facts, Outcome, recall
from lacuna.errors import UserError


def check_bits(bits: int) -> None:
    """Raise `UserError` for a width that is no quantization."""
    if not 2 <= bits <= 16:
        raise UserError(f"attack.bits={bits}: use widths of 2 to 16")


def rounded(weight: Tensor, bits: int) -> Tensor:
    """(rows, columns) weights on the grid of 2^bits - 1 levels of each row."""
    check_bits(bits)
    levels = 2 ** (bits - 1) - 1
    scale = weight.float().abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / levels
    grid: Tensor = (weight.float() / scale).round() * scale
    return grid.to(weight.dtype)


@torch.no_grad()
def quantize(model: PreTrainedModel, facts: Facts, bits: int) -> Outcome:
    """Measure all forget questions before and after rounding."""
    before = recall(model, facts.all, facts.end_token)
    head = model.get_output_embeddings()
    layers = [m for m in model.modules() if isinstance(m, nn.Linear) and m is not head]
    kept = [layer.weight.clone() for layer in layers]
    try:
        for layer in layers:
            layer.weight.copy_(rounded(layer.weight, bits))
        after = recall(model, facts.all, facts.end_token)
    finally:
        for layer, weight in zip(layers, kept, strict=True):
            layer.weight.copy_(weight)
    return Outcome(
        attack=f"int{bits}",
        lr=None,
        n_attacked=0,
        n_others=len(facts.all),
        attacked_es_after=None,
        others_es_before=before[0],
        others_es_after=after[0],
        others_logp_before=before[1],
        others_logp_after=after[1],
    )
