"""Where a model's value vectors are: the output matrices of its MLPs.

A value vector is a column of such a matrix (d_model x d_ff): what one neuron writes (Lee et al.).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn
from transformers import PreTrainedModel

from lacuna.artifacts import digest
from lacuna.errors import UserError

OUTPUT_NAMES = ("down_proj", "dense_4h_to_h", "fc2", "fc_out", "w2")
"""Leaf names of an MLP's output matrix: OLMo, Llama, Qwen, Mistral, Gemma; GPT-NeoX; others."""


@dataclass(frozen=True)
class Layout:
    """The value vectors of an architecture, without weights."""

    architecture: str
    shapes: Mapping[str, tuple[int, int]]
    """Module name -> (d_model, d_ff), in layer order."""
    weights: Mapping[str, tuple[int, ...]] = field(default_factory=dict, compare=False)
    """Parameter name -> shape, of all weights; empty where only value vectors are known."""

    @property
    def fingerprint(self) -> str:
        """16 hex digits that two models share if a region of one fits the other."""
        return digest([self.architecture, [[n, *s] for n, s in self.shapes.items()]])[:16]

    @property
    def total(self) -> int:
        """Number of value vectors in the whole model."""
        return sum(width for _, width in self.shapes.values())


def value_modules(model: PreTrainedModel) -> dict[str, nn.Linear]:
    """Every MLP's output matrix by module name, in layer order.

    Raises `UserError` with the names it saw if it finds none.
    """
    found = {
        name: module
        for name, module in model.named_modules()
        if name.rpartition(".")[2] in OUTPUT_NAMES and isinstance(module, nn.Linear)
    }
    if not found:
        leaves = {name.rpartition(".")[2] for name, _ in model.named_modules()} - {""}
        leaves = {leaf for leaf in leaves if not leaf.isdigit()}
        raise UserError(
            f"{type(model).__name__}: no MLP output matrix found (looked for "
            f"{', '.join(OUTPUT_NAMES)}; saw {', '.join(sorted(leaves))}): add its name to "
            f"lacuna/model/value.py"
        )
    return found


def layout(model: PreTrainedModel) -> Layout:
    """The model's value vectors: names and shapes."""
    modules = value_modules(model)
    return Layout(
        architecture=type(model).__name__,
        shapes={n: (m.out_features, m.in_features) for n, m in modules.items()},
        weights={name: tuple(weight.shape) for name, weight in model.named_parameters()},
    )
