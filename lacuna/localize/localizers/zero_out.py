"""Zero-out (MemPi, Chang et al. 2024): how much worse the facts are told without the vector.

    s_i = L(v_i = 0) - L,     L = token-mean NLL of the forget answers

Exact zeroing takes one reading of the texts per vector, which a large model does not allow. So all
vectors get the first-order estimate -<v_i, g_i> from one shared gradient pass, and the `exact` best
by it are then zeroed one at a time, on an evenly spread sample of texts. Ranked within each layer,
as MemPi does. Limits: `exact` at least the number of vectors is the published score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch

from lacuna.costs import READ, Workload
from lacuna.data.tokens import Batch, reading_batches
from lacuna.localize.base import LOCALIZERS, Localizer, LocalizerConfig, Scores, at_least_one
from lacuna.localize.evidence import Evidence, Statistic, evenly, replaced
from lacuna.model.forward import answers
from lacuna.region import Scope, top


@LOCALIZERS.register("zero_out")
class ZeroOut(Localizer):
    """Rise of the forget loss when a vector is removed."""

    @dataclass(frozen=True, kw_only=True)
    class Config(LocalizerConfig):
        """Size of the part that is computed exactly."""

        scope: str = "layer"
        """Rank within each layer (`layer`), as published; see the common options for others."""
        exact: int = 256
        """Number of vectors that are zeroed one at a time; all others keep their first-order
        estimate."""
        examples: int = 32
        """Number of forget texts that are read for each zeroed vector (at least 1)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            at_least_one("zero_out.exact", self.exact)
            at_least_one("zero_out.examples", self.examples)

    config: Config

    @property
    def statistics(self) -> Sequence[Statistic]:
        """One gradient of the forget texts."""
        return (Statistic.gradients("forget"),)

    def scores(self, evidence: Evidence) -> Scores:
        """Rise of the forget loss in nats per token."""
        scores = {
            name: -(evidence.weights[name].float() * g).sum(dim=0).cpu()
            for name, g in evidence.gradients("forget").items()
        }
        scope, count = cast(Scope, self.config.scope), min(self.config.exact, evidence.layout.total)
        candidates = top(evidence.layout, scores, count, scope=scope)
        texts = evenly(evidence.forget, self.config.examples)
        device = evidence.model.device
        batches = [batch.to(device) for batch in reading_batches(texts, evidence.max_tokens)]
        whole = _loss(evidence, batches)
        for name, columns in candidates.columns.items():
            for i in columns.tolist():
                vector = evidence.weights[name][:, i]
                with replaced(vector, torch.zeros_like(vector)):
                    scores[name][i] = _loss(evidence, batches) - whole
        return scores

    def work(self, load: Workload) -> float:
        """A reading of the sample for every vector that is zeroed."""
        return READ * self.config.exact * load.forget.some(self.config.examples)


@torch.no_grad()
def _loss(evidence: Evidence, batches: Sequence[Batch]) -> float:
    total, tokens = 0.0, 0
    for batch in batches:
        nll_N = answers(evidence.model, batch).nll_N
        total += nll_N.double().sum().item()
        tokens += len(nll_N)
    return total / tokens
