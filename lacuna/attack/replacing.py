"""Shared by attacks that replace the weights of linear layers and measure what the model knows
then.

The output head and the embeddings stay as they are, as common quantizers leave them.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from lacuna.attack.base import Attack, AttackInputs
from lacuna.attack.outcome import Outcome, level, outcome
from lacuna.costs import Workload


class Replacing(Attack):
    """Base class of such attacks; every layer is put back from a copy."""

    copies: ClassVar[int] = 1

    @torch.no_grad()
    def measure(self, given: AttackInputs, name: str, other: Callable[[Tensor], Tensor]) -> Outcome:
        """All forget questions before and after each layer's weight is replaced by `other`."""
        model, facts = given.model, given.facts.spared()
        before = level(model, facts)
        head = model.get_output_embeddings()
        layers = [m for m in model.modules() if isinstance(m, nn.Linear) and m is not head]
        kept = [layer.weight.clone() for layer in layers]
        try:
            for layer in layers:
                layer.weight.copy_(other(layer.weight))
            return outcome(name, facts, before, level(model, facts))
        finally:
            for layer, weight in zip(layers, kept, strict=True):
                layer.weight.copy_(weight)

    @property
    def times(self) -> int:
        """Outcomes it has."""
        return 1

    def work(self, load: Workload, level: float) -> float:
        """The forget facts before and after."""
        return self.times * 2 * level
