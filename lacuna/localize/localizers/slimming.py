r"""Slimming: a learned coefficient for every value vector (MemPi; Chang et al. 2024).

    min_m  NLL_forget(v_i clip(m_i, 0, 1)) + l sum_i |m_i|,    from m = 1 until mean |m| < stop
    s_i = clip(m_i, 0, 1)

All vectors fade together, and those that the facts need stay. Ranked within each layer, as MemPi
does. Its weight belongs to the mean of |m| (1e4 to 8e4 for some 1e5 vectors); here l is a vector's
own. MemPi asks one fact at a time; this asks all at once. Limits: what no vector tells leaves none;
of two vectors that each suffice both may fade.
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
from lacuna.localize.masking import learned, switch_slopes
from lacuna.model.value import value_modules
from lacuna.seeds import derive, torch_generator


@dataclass(frozen=True, kw_only=True)
class LearnedConfig(LocalizerConfig):
    """How coefficients of value vectors are learned."""

    scope: str = "layer"
    """Rank within each layer (`layer`), as published; see the common options for others."""
    penalty: float = 0.1
    """l: what a vector that is on costs, in nats a token (0 or more)."""
    lr: float = 2e-2
    """Learning rate of Adam (above 0)."""
    steps: int = 100
    """Steps at most (at least 1)."""
    stop: float = 0.2
    """Mean cost of a vector, from 0 to 1, at which learning stops."""
    batch_size: int = 16
    """Forget texts in a step (at least 1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one("steps", self.steps)
        at_least_one("batch_size", self.batch_size)
        inside = {
            "penalty": 0 <= self.penalty < float("inf"),
            "lr": 0 < self.lr < float("inf"),
            "stop": 0 <= self.stop <= 1,
        }
        for name, holds in inside.items():
            if not holds:
                raise UserError(f"localizer: {name}={getattr(self, name)} is out of range")


@LOCALIZERS.register("slimming")
class Slimming(Localizer):
    """Vectors that stay when all are made to fade."""

    surveyed: ClassVar[bool] = False
    Config: ClassVar[type[LearnedConfig]] = LearnedConfig
    config: LearnedConfig
    start: ClassVar[float] = 1.0

    def scores(self, evidence: Evidence) -> Scores:
        """What is left of each coefficient."""
        config, modules = self.config, value_modules(evidence.model)
        seed = derive(evidence.seed, type(self).__name__)
        batches = TrainingBatches(evidence.forget, config.batch_size, seed)
        generator = torch_generator(seed, "gates")

        def slopes(step: int, gates: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
            found, _ = switch_slopes(evidence.model, modules, gates, {1.0: batches[step]})
            return {name: slope.sum(dim=0).cpu() for name, slope in found.items()}

        values = {
            name: torch.full((width,), self.start)
            for name, (_, width) in evidence.layout.shapes.items()
        }
        learned(
            slopes,
            values,
            lambda value: self.gates(value, generator),
            self.cost,
            penalty=config.penalty,
            lr=config.lr,
            steps=config.steps,
            stop=config.stop,
        )
        return {name: self.score(value) for name, value in values.items()}

    def gates(self, value: Tensor, generator: torch.Generator) -> Tensor:
        """What multiplies the vectors."""
        return value.clamp(0, 1)

    def cost(self, value: Tensor) -> Tensor:
        """What each vector costs."""
        return value.abs()

    def score(self, value: Tensor) -> Tensor:
        """From what was learned to a score."""
        return value.clamp(0, 1)

    def work(self, load: Workload) -> float:
        """A gradient of a batch at every step."""
        return REGION * load.forget.drawn(self.config.steps * self.config.batch_size)
