r"""Reweighting by attribution (in the style of GUARD, arXiv:2506.10946).

    a_i = < grad l(z_i), mean_j grad l(z_j) >     i over forget texts, j over retain texts
    w_i = n exp(-a_i / (tau s)) / sum_k exp(-a_k / (tau s)),     s = std of a

A fact whose gradient points where the retain texts' does is unlearned less, as that would hurt
them. l is the token-mean NLL at the injected model, its gradient that of the weights that
unlearning may change. The weights are applied by drawing: text i is read w_i times an epoch on
average (systematic resampling, anew in each epoch), so that every objective takes them. The paper
weighs per-text losses; its normalisation and tau could not be checked, and s is ours, which frees
tau of scale. Limits: tau -> infinity, and texts that are all alike, are the objective alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lacuna.costs import Workload
from lacuna.data.tokens import Encoded, TrainingBatches
from lacuna.errors import UserError
from lacuna.localize.evidence import evenly
from lacuna.seeds import torch_generator
from lacuna.train import Values
from lacuna.unlearn.base import UnlearnData, require
from lacuna.unlearn.gradients import text_gradients
from lacuna.unlearn.wrappers.base import WRAPPERS, Start, Wrapper


@WRAPPERS.register("reweight")
class Reweight(Wrapper):
    """Unlearn less often what the retain texts rely on."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Temperature of the weights, and size of the retain sample."""

        temperature: float = 1.0
        """tau, in standard deviations of the alignment (above 0)."""
        examples: int = 256
        """Number of retain texts whose mean gradient is used (at least 1)."""

        def __post_init__(self) -> None:
            require(self.temperature > 0, "temperature", self.temperature, "above 0")
            require(self.examples >= 1, "examples", self.examples, "at least 1")

    config: Config
    copies = 1

    def data(self, start: Start) -> UnlearnData:
        """The same texts, with how often each is read."""
        weights_I = draws(alignment(start, self.config.examples), self.config.temperature)
        return replace(start.data, draws=weights_I.tolist())

    def scoring(self, load: Workload, gradient: float) -> float:
        """A gradient of every forget text, and of every retain text of the sample."""
        return gradient * (load.forget.tokens + load.retain.some(self.config.examples))


def alignment(start: Start, examples: int) -> Tensor:
    """(I,) inner products of forget gradients with the mean retain gradient, float64."""
    retain = evenly(start.data.retain, examples)
    if not retain:
        raise UserError("reweight needs retain texts, and the data has none: drop the wrapper")
    mean: Values = {}
    for found in text_gradients(start.model, start.weights, retain):
        for name, value in found.items():
            mean[name] = mean.get(name, 0) + value / len(retain)
    return torch.tensor(
        [
            sum(float((value * mean[name]).sum()) for name, value in found.items())
            for found in text_gradients(start.model, start.weights, start.data.forget)
        ],
        dtype=torch.float64,
    )


def draws(alignment_I: Tensor, temperature: float) -> Tensor:
    """(I,) weights that fall with the alignment, 1 on average."""
    spread = float(alignment_I.std(correction=0)) or 1.0
    return len(alignment_I) * torch.softmax(-alignment_I / (temperature * spread), dim=0)


class DrawnBatches(TrainingBatches):
    """Training batches whose epochs are drawn: text i comes `weights[i]` times, on average.

    Equal weights draw each text once, and then the batches are those of `TrainingBatches`. Weights
    are read anew at every epoch: whoever holds the list may change them.
    """

    def __init__(
        self,
        encoded: Sequence[Encoded],
        batch_size: int,
        seed: int,
        weights: Sequence[float],
    ) -> None:
        super().__init__(encoded, batch_size, seed)
        self.weights = weights

    def _shuffled(self, epoch: int) -> list[list[int]]:
        weights_I = torch.tensor(self.weights, dtype=torch.float64)
        drawn = systematic(weights_I, torch_generator(self.seed, "draws", epoch))
        return [[drawn[i] for i in batch] for batch in super()._shuffled(epoch)]


def systematic(weights_I: Tensor, generator: torch.Generator) -> list[int]:
    """As many indices as weights, ascending: i comes floor or ceil of its share of them."""
    size = len(weights_I)
    ends_I = (weights_I * (size / weights_I.sum())).cumsum(dim=0)
    offset = torch.rand(1, generator=generator, dtype=torch.float64)
    places_I = torch.arange(size, dtype=torch.float64) + offset
    found: list[int] = torch.searchsorted(ends_I, places_I, right=True).clamp(max=size - 1).tolist()
    return found
