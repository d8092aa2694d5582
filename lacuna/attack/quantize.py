"""Quantization: round every linear layer's weights to nearest and see what comes back.

Integer widths are symmetric with one scale per output row: w -> s round(w / s), s = max|row| /
(2^(bits-1) - 1); `nf4.py` has NF4. Rounding can undo small unlearning updates (Zhang et al. 2024,
arXiv:2410.16454). The output head and the embeddings stay as they are, as common quantizers leave
them.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lacuna.attack.base import Facts, Outcome, level, outcome
from lacuna.attack.nf4 import nf4_rounded
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


def quantize(model: PreTrainedModel, facts: Facts, bits: int) -> Outcome:
    """Measure all forget questions before and after rounding to integers of `bits` bits."""
    return _rounding(model, facts, f"int{bits}", partial(rounded, bits=bits))


def quantize_nf4(model: PreTrainedModel, facts: Facts) -> Outcome:
    """Measure all forget questions before and after rounding to NF4."""
    return _rounding(model, facts, "nf4", nf4_rounded)


@torch.no_grad()
def _rounding(
    model: PreTrainedModel, facts: Facts, name: str, round_: Callable[[Tensor], Tensor]
) -> Outcome:
    facts = facts.spared()
    before = level(model, facts)
    head = model.get_output_embeddings()
    layers = [m for m in model.modules() if isinstance(m, nn.Linear) and m is not head]
    kept = [layer.weight.clone() for layer in layers]
    try:
        for layer in layers:
            layer.weight.copy_(round_(layer.weight))
        return outcome(name, facts, before, level(model, facts))
    finally:
        for layer, weight in zip(layers, kept, strict=True):
            layer.weight.copy_(weight)
