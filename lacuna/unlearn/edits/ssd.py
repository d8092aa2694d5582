"""Selective synaptic dampening (Foster et al. 2024, arXiv:2308.07707), weight by weight.

    theta_i <- beta_i theta_i   where F_i^f > alpha F_i^r,   beta_i = min(lambda F_i^r / F_i^f, 1)

F is the diagonal empirical Fisher: the mean over texts of the squared gradient of one text's
token-mean NLL. The public code squares batch means, whose size depends on the batch, and holds
forget against all training data; there the ratio cannot exceed one over forget's share, so that
alpha = 10 would select nothing of a forget set of 10%. Here it is held against retain.
`importance=logits` is the label-free form of the public code (LFSSD; Foster et al. 2024,
arXiv:2402.01401): F_i = mean over texts of |d/dtheta_i mean_t |z_t|^2 / V|, z_t the logits.
The learning rate is the strength (1: as published). Limits: alpha -> inf is the identity;
lambda = 0 prunes; a weight that only retain uses is never touched. Meant for weights near zero
without the facts; embeddings and norm gains are not, so expect harm in the scenario `full`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from lacuna.costs import Workload
from lacuna.data.tokens import Encoded
from lacuna.localize.evidence import evenly
from lacuna.model.forward import Answers, wide
from lacuna.train import TrainConfig, Values, fisher, mean_nll
from lacuna.unlearn.base import LATER, OBJECTIVES, require
from lacuna.unlearn.edits.base import Edit, EditConfig, EditInputs

IMPORTANCES = ("fisher", "logits")


@OBJECTIVES.register("ssd")
class SSD(Edit):
    """Shrink the weights that matter much more to forget than to retain."""

    copies: ClassVar[int] = 1

    @dataclass(frozen=True, kw_only=True)
    class Config(EditConfig):
        """Defaults of the paper."""

        alpha: float = 10.0
        """How many times more a weight must matter to forget (0 or more)."""
        dampening: float = 1.0
        """lambda: scale of the factor that is left of a selected weight (0 or more; 0 prunes)."""
        examples: int = 256
        """Number of texts of each split from which its Fisher is estimated (at least 1)."""
        importance: str = field(default="fisher", metadata=LATER)
        """What F is: the `fisher` of the answers, or how much the `logits` depend on a weight."""

        def __post_init__(self) -> None:
            require(self.alpha >= 0, "alpha", self.alpha, "0 or more")
            require(self.dampening >= 0, "dampening", self.dampening, "0 or more")
            require(self.examples >= 1, "examples", self.examples, "at least 1")
            known = " or ".join(IMPORTANCES)
            require(self.importance in IMPORTANCES, "importance", self.importance, known)

    config: Config

    def apply(self, given: EditInputs) -> Values:
        """Weights times beta where selected."""
        with given.weights.training():
            forget, retain = (
                self._importance(given, evenly(texts, self.config.examples))
                for texts in (given.forget, given.retain)
            )
        edited = {}
        for name, weight in given.weights.masters.items():
            beta = (self.config.dampening * retain[name] / forget[name]).clamp(max=1)
            selected = forget[name] > self.config.alpha * retain[name]
            edited[name] = torch.where(selected, beta * weight, weight).detach()
        return edited

    def _importance(self, given: EditInputs, texts: Sequence[Encoded]) -> Values:
        by_label = self.config.importance == "fisher"
        reduced, loss = (torch.square, mean_nll) if by_label else (torch.abs, _squared_logits)
        return fisher(given.model, texts, lambda: _gradients(given, reduced), loss)

    def work(self, load: Workload, train: TrainConfig, gradient: float) -> float:
        """A gradient of every text that estimates a Fisher."""
        examples = self.config.examples
        return gradient * (load.forget.some(examples) + load.retain.some(examples))


def _squared_logits(said: Answers) -> Tensor:
    return wide(said.logits_NV).square().mean()


def _gradients(
    given: EditInputs, reduced: Callable[[Tensor], Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """Reduced gradient of each editable weight, zero where a text does not reach it."""
    given.weights.gather_gradients()
    for name, weight in given.weights.masters.items():
        yield name, torch.zeros_like(weight) if weight.grad is None else reduced(weight.grad)
        weight.grad = None
