r"""Integrated gradients (knowledge neurons, Dai et al. 2022, arXiv:2104.08696; MemPi's IG baseline,
Chang et al. 2024).

    s_i = int_0^1 dP/dc_i (c = a 1_l) da,     P = mean over the forget answers' tokens of p(y_t)

c_i scales value vector i; the path raises all vectors of one layer l together from 0 to what they
are, all other layers staying whole. Signed, and about probability, as in both papers; ranked within
each layer, as MemPi does. Three choices are ours: a vector is scaled at every position (theirs: at
the predicting one), since an edit acts at all; midpoints stand for both ends of the path, since a
norm behind the MLP (OLMo-2) has a gradient of 1/sqrt(eps) at 0 that would outweigh the rest; P is
the mean over an evenly spread sample. Costs steps x layers passes over that sample.
Limits: the scores of a layer add up to P minus P without that layer. Where a norm follows the MLP
the path only rescales what enters it, so that scores tend to gradient times activation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lacuna.costs import REGION, Workload
from lacuna.data.tokens import Batch, reading_batches
from lacuna.localize.base import LOCALIZERS, Localizer, LocalizerConfig, Scores, at_least_one
from lacuna.localize.evidence import Evidence, evenly, replaced, taken, weight_gradients
from lacuna.model.forward import answers
from lacuna.model.value import value_modules


@LOCALIZERS.register("integrated_gradients")
class IntegratedGradients(Localizer):
    """What each vector adds to the probability of the facts, along a path from nothing."""

    @dataclass(frozen=True, kw_only=True)
    class Config(LocalizerConfig):
        """Defaults as published, where the two papers agree."""

        scope: str = "layer"
        """Rank within each layer (`layer`), as published; see the common options for others."""
        steps: int = 20
        """Number of points on the path, over which gradients are averaged (at least 1)."""
        examples: int = 32
        """Number of forget texts that are read at each point (at least 1)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            at_least_one("integrated_gradients.steps", self.steps)
            at_least_one("integrated_gradients.examples", self.examples)

    config: Config

    def scores(self, evidence: Evidence) -> Scores:
        """Attribution per vector, layer by layer."""
        texts = evenly(evidence.forget, self.config.examples)
        device = evidence.model.device
        batches = [batch.to(device) for batch in reading_batches(texts, evidence.max_tokens)]
        return {
            name: self._layer(evidence, module, batches).cpu()
            for name, module in value_modules(evidence.model).items()
        }

    def work(self, load: Workload) -> float:
        """A gradient of the sample at every point of every layer's path."""
        points = load.layers * self.config.steps
        return REGION * points * load.forget.some(self.config.examples)

    def _layer(self, evidence: Evidence, module: nn.Linear, batches: Sequence[Batch]) -> Tensor:
        place, steps = module.weight.detach(), self.config.steps
        whole = place.clone()
        total = torch.zeros(module.in_features, device=place.device)
        for k in range(steps):
            with replaced(place, whole * ((k + 0.5) / steps)):
                total += (whole.float() * _gradient(evidence, module, batches)).sum(0)
        return total / steps


def _gradient(evidence: Evidence, module: nn.Linear, batches: Sequence[Batch]) -> Tensor:
    """Gradient of P with respect to the module's weight."""
    tokens = 0
    with weight_gradients({"": module}):
        for batch in batches:
            nll_N = answers(evidence.model, batch).nll_N
            nll_N.neg().exp().sum().backward()
            tokens += len(nll_N)
        return taken(module.weight) / tokens
