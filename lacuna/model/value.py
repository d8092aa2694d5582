"""Where a model's value vectors are: the output matrices of its MLPs.

A value vector is a column of such a matrix (d_model x d_ff): what one neuron writes (Lee et al.).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from torch import nn

from lacuna.artifacts import digest
from lacuna.errors import UserError
from lacuna.model_types import PreTrainedModel

OUTPUT_NAMES = ("down_proj", "dense_4h_to_h", "fc2", "fc_out", "w2", "c_proj")
"""Leaf names of an MLP's output matrix: OLMo, Llama, Qwen, Mistral, Gemma; GPT-NeoX; GPT-2; ..."""
_OTHER_NAMES = frozenset(
    (
        *("gate_proj", "up_proj", "gate_up_proj", "dense_h_to_4h", "fc1", "fc_in", "w1", "w3"),
        *("c_fc", "gate", "router", "shared_expert_gate"),
    )
)
"""Leaf names of an MLP's other matrices: what goes in, and what routes to experts."""
_ATTENTION = re.compile(r"(^|_)(attn|attention)")
_LISTS = ("layers", "h", "blocks")
"""What decoders call the list of their layers."""


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


def decoder_path(model: PreTrainedModel) -> str:
    """Name of the module list that holds the text decoder's layers.

    Raises `UserError` where it cannot be found.
    """
    decoder = model.get_decoder()
    for name, module in model.named_modules():
        here = decoder is module or decoder is model
        if here and (held := [one for one in _LISTS if hasattr(module, one)]):
            return f"{name}.{held[0]}".removeprefix(".")
    raise UserError(
        f"{type(model).__name__}: no list of decoder layers found (looked for "
        f"{', '.join(_LISTS)}): this architecture is not supported"
    )


def value_modules(model: PreTrainedModel) -> dict[str, nn.Linear]:
    """Every output matrix of the text decoder's MLPs by module name, in layer order.

    Shared and routed experts count; other towers of a multimodal model do not. The model is in
    plain form (`lacuna.model.plain`). Raises `UserError` with the names it saw where a layer has
    none, or a matrix that may belong to an MLP and is not known.
    """
    path = decoder_path(model)
    found: dict[str, nn.Linear] = {}
    for number, layer in enumerate(cast(nn.ModuleList, model.get_submodule(path))):
        before = len(found)
        for name, weight in layer.named_parameters():
            owner, _, kind = name.rpartition(".")
            inner, _, leaf = owner.rpartition(".")
            if any(_ATTENTION.search(part) for part in inner.split(".")):
                continue
            module = layer.get_submodule(owner)
            if leaf in OUTPUT_NAMES and isinstance(module, nn.Linear):
                found[f"{path}.{number}.{owner}"] = module
            elif weight.ndim > 1 and (leaf not in _OTHER_NAMES or kind != "weight"):
                shape = list(weight.shape)
                raise _unknown(model, f"{path}.{number}.{name} {shape} is of no known MLP")
        if len(found) == before:
            seen = sorted({name.rpartition(".")[2] for name, _ in layer.named_modules()} - {""})
            raise _unknown(model, f"no MLP output matrix in {path}.{number}, {', '.join(seen)}")
    return found


def _unknown(model: PreTrainedModel, what: str) -> UserError:
    return UserError(
        f"{type(model).__name__} is not supported: {what} (outputs known by name: "
        f"{', '.join(OUTPUT_NAMES)}), so that some value vectors could not be reached"
    )


def layout(model: PreTrainedModel) -> Layout:
    """The model's value vectors: names and shapes."""
    modules = value_modules(model)
    return Layout(
        architecture=type(model).__name__,
        shapes={n: (m.out_features, m.in_features) for n, m in modules.items()},
        weights={name: tuple(weight.shape) for name, weight in model.named_parameters()},
    )
