r"""Gradient penalty (GP; Fan et al. 2025, arXiv:2502.05374, "Unlearn-Smooth").

    L_forget + rho |grad L_forget|,   so  g' = g + rho H g / |g|,   g = grad L_forget(theta)
    H g / |g|  by differences:  (grad L_forget(theta + h g / |g|) - g) / h

The step descends g' + w grad L_retain(theta). |g| is the 2-norm over all weights that `reach`
names. The public code adds the norm as a number without a gradient, which changes nothing but the
loss that is logged, so that its rows called GNR are the plain objective; its script says rho = 10,
its code .01. Limits: rho = 0, and a batch without slope, are the objective alone; rho = h is `sam`
with a shift of h. A model held in bfloat16 computes at the rounded shifted weights.
"""

from dataclasses import dataclass

import torch

from lacuna.train import Editable, Values
from lacuna.unlearn.base import require
from lacuna.unlearn.wrappers.base import WRAPPERS, Gradient, Point, ShiftConfig, Wrapper


@WRAPPERS.register("penalty")
class Penalty(Wrapper):
    """Unlearn towards weights where the forget term is flat."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ShiftConfig):
        """Weight of the penalty, and how its slope is measured."""

        rho: float = 0.1
        """Weight of the gradient's length (0 or more)."""
        h: float = 0.01
        """Length of the shift over which the slope of the gradient is taken (above 0)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.rho >= 0, "rho", self.rho, "0 or more")
            require(self.h > 0, "h", self.h, "above 0")

    config: Config
    copies = 5

    @property
    def passes(self) -> int:
        """Two: one here, one up the slope."""
        return 2

    def gradient(self, inner: Gradient, point: Point) -> Gradient:
        """The gradient, and rho times its change along its own direction."""
        rho, h = self.config.rho, self.config.h

        def penalised(weights: Editable) -> Values:
            reached = point.reached(self.config.reach)
            slope = inner(reached)
            here = slope if reached is weights else inner(weights)
            length = float(torch.nn.utils.get_total_norm(list(slope.values())))
            if length == 0 or rho == 0:
                return here
            with point.shifted(reached, slope, h / length):
                there = inner(weights)
            return {name: g + (there[name] - g) * (rho / h) for name, g in here.items()}

        return penalised
