r"""Hard Concrete: a learned random mask of value vectors (MemPi, Chang et al. 2024; Louizos et al.
2018, arXiv:1712.01312).

    m_i = clip(1.2 r_i - .1, 0, 1),   r_i = sigmoid((log u - log(1 - u) + phi_i) / beta)
    min_phi  E NLL_forget(v_i m_i) + l sum_i sigmoid(phi_i - beta log(.1 / 1.1))
    s_i = sigmoid(phi_i)

u is uniform from 0 to 1, anew at each step, and phi 0 at first. The penalty is the expected number
of vectors that are on; half of all are switched off at random while it learns, so that a vector is
asked without those that could stand in for it. Ranked within each layer, as MemPi does; its weight
of 100 to 2000 belongs to the mean over some 1e5 vectors, here l is a vector's own. Limits: what no
vector tells leaves none.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lacuna.errors import UserError
from lacuna.localize.base import LOCALIZERS
from lacuna.localize.localizers.slimming import LearnedConfig, Slimming

LOW, HIGH = -0.1, 1.1
"""Ends of the stretched interval, which is clipped to 0 and 1."""


@LOCALIZERS.register("hard_concrete")
class HardConcrete(Slimming):
    """Vectors that a random mask learns to keep."""

    @dataclass(frozen=True, kw_only=True)
    class Config(LearnedConfig):
        """Those of `slimming`, and the temperature."""

        lr: float = 0.1
        """Learning rate of Adam (above 0)."""
        temperature: float = 2 / 3
        """beta (above 0)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 0 < self.temperature < math.inf:
                raise UserError(f"localizer: temperature={self.temperature} is out of range")

    config: Config
    start: ClassVar[float] = 0.0

    def gates(self, value: Tensor, generator: torch.Generator) -> Tensor:
        """A draw of the mask."""
        uniform = torch.rand(value.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
        drawn = torch.sigmoid((uniform.logit() + value) / self.config.temperature)
        return (drawn * (HIGH - LOW) + LOW).clamp(0, 1)

    def cost(self, value: Tensor) -> Tensor:
        """Probability that a vector is on."""
        return torch.sigmoid(value - self.config.temperature * math.log(-LOW / HIGH))

    def score(self, value: Tensor) -> Tensor:
        """sigmoid(phi)."""
        return torch.sigmoid(value)
