r"""Learned masks of weights: Subnet and BalancedSubnet (Sakarvadia et al. 2025, TinyMem, ICLR).

    min_S  -NLL_forget(w m) + [NLL_retain(w m)],    m_j = 1 for the top 1 - q of |S_j| in a matrix

w stays, S learns: the gradient passes the threshold as if it were not there (edge-popup; Ramanujan
et al. 2020, arXiv:1911.13299), so that S_j falls where the weight serves forget answers and, in the
balanced form, rises where it serves retain ones. Located are the weights that end off: the score of
a weight is -|S_j|, that of a vector its mean. Here the matrices are the MLPs' output matrices, q is
`share`, and retain texts stand for clean text. S starts uniform within 1/sqrt(d_ff). Limits: a
weight on which neither loss depends keeps its random place; a fact told with certainty has no
slope until something is off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lacuna.costs import REGION, Workload
from lacuna.data.tokens import TrainingBatches
from lacuna.errors import UserError
from lacuna.localize.base import LOCALIZERS, Localizer, LocalizerConfig, Scores, at_least_one
from lacuna.localize.evidence import Evidence
from lacuna.localize.masking import switch_slopes
from lacuna.model.value import value_modules
from lacuna.seeds import derive, torch_generator


@LOCALIZERS.register("subnet")
class Subnet(Localizer):
    """Weights whose absence the facts do not survive."""

    surveyed: ClassVar[bool] = False
    balanced: ClassVar[bool] = False

    @dataclass(frozen=True, kw_only=True)
    class Config(LocalizerConfig):
        """Defaults of the public code, but the batch (64 there)."""

        share: float = 0.1
        """q: share of each matrix's weights that are off (above 0, below 1)."""
        epochs: int = 5
        """Passes over the forget texts (at least 1)."""
        batch_size: int = 16
        """Texts of each kind in a step (at least 1)."""
        lr: float = 0.1
        """Learning rate of SGD with momentum 0.9 and weight decay 5e-4."""

        def __post_init__(self) -> None:
            super().__post_init__()
            at_least_one("subnet.epochs", self.epochs)
            at_least_one("subnet.batch_size", self.batch_size)
            if not 0 < self.share < 1:
                raise UserError(f"subnet: share={self.share}: must be above 0 and below 1")
            if not 0 < self.lr < float("inf"):
                raise UserError(f"subnet: lr={self.lr}: must be finite and above 0")

    config: Config

    def scores(self, evidence: Evidence) -> Scores:
        """Mean of the weights' scores."""
        return {name: score.mean(dim=0) for name, score in self.weight_scores(evidence).items()}

    def weight_scores(self, evidence: Evidence) -> Scores:
        """-|S| once it has learned."""
        config, modules = self.config, value_modules(evidence.model)
        learned = self._start(evidence)
        pace = {name: torch.zeros_like(value) for name, value in learned.items()}
        seed = derive(evidence.seed, "subnet batches")
        forget = TrainingBatches(evidence.forget, config.batch_size, seed)
        retain = TrainingBatches(evidence.retain, config.batch_size, derive(seed, "retain"))
        for step in range(config.epochs * forget.per_epoch):
            masks = {name: kept(value, config.share) for name, value in learned.items()}
            parts = {-1.0: forget[step]} | ({1.0: retain[step]} if self.balanced else {})
            slopes, _ = switch_slopes(evidence.model, modules, masks, parts)
            for name, value in learned.items():
                slope = slopes[name].to(value) * value.sign() + 5e-4 * value
                pace[name] = 0.9 * pace[name] + slope
                value -= config.lr * pace[name]
        return {name: -value.abs().cpu() for name, value in learned.items()}

    def _start(self, evidence: Evidence) -> Mapping[str, Tensor]:
        """Uniform numbers within 1/sqrt(d_ff), float32."""
        found = {}
        for name, (height, width) in evidence.layout.shapes.items():
            generator = torch_generator(evidence.seed, "subnet", name)
            drawn = torch.rand((height, width), generator=generator)
            found[name] = ((2 * drawn - 1) / width**0.5).to(evidence.model.device)
        return found

    def work(self, load: Workload) -> float:
        """A gradient of every forget text an epoch, and of as many retain texts."""
        texts = self.config.epochs * load.forget.count
        read = load.forget.drawn(texts) + (load.retain.drawn(texts) if self.balanced else 0.0)
        return REGION * read


def kept(values: Tensor, share: float) -> Tensor:
    """1 for all but the `share` of a matrix's weights whose values are nearest to 0."""
    flat = values.abs().flatten()
    mask = torch.ones_like(flat)
    mask[flat.argsort(stable=True)[: round(share * len(flat))]] = 0
    return mask.view_as(values)


@LOCALIZERS.register("balanced_subnet")
class BalancedSubnet(Subnet):
    """Weights whose absence the facts do not survive, and everything else does."""

    balanced: ClassVar[bool] = True
