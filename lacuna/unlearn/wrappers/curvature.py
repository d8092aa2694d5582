r"""Curvature regularisation (CR; Fan et al. 2025, arXiv:2502.05374, "Unlearn-Smooth").

    L_forget + rho |d|,   d(theta) = g(theta + mu u) - g(theta),   u = g / |g|,   g = grad L_forget
    g' = g + rho (d(theta + h d / |d|) - d(theta)) / h             the slope of |d| by differences

u is held fixed while |d| is differentiated; both norms are over all weights that `reach` names. The
step descends g' + w grad L_retain(theta). The public code adds |d| as a number without a gradient
and, through a backward pass that it never clears, descends 2 g + w grad L_retain; that is not
repeated. mu is its default; rho of its script is 10, of its code .01. Limits: rho = 0, a batch
without slope, and a quadratic loss, whose d is the same everywhere, are the objective alone. A
model held in bfloat16 computes at the rounded shifted weights.
"""

from dataclasses import dataclass

import torch

from lacuna.train import Editable, Values
from lacuna.unlearn.base import require
from lacuna.unlearn.wrappers.base import WRAPPERS, Gradient, Point, ShiftConfig, Wrapper


@WRAPPERS.register("curvature")
class Curvature(Wrapper):
    """Unlearn towards weights where the forget term bends little."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ShiftConfig):
        """Weight of the penalty, and the two shifts."""

        rho: float = 1.0
        """Weight of the length of the gradient's change (0 or more)."""
        mu: float = 0.01
        """Length of the shift along the gradient (above 0)."""
        h: float = 0.01
        """Length of the shift over which the slope of the penalty is taken (above 0)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.rho >= 0, "rho", self.rho, "0 or more")
            require(self.mu > 0, "mu", self.mu, "above 0")
            require(self.h > 0, "h", self.h, "above 0")

    config: Config
    copies = 8

    @property
    def passes(self) -> int:
        """Four; two more where the shifts reach further than the weights that move."""
        return 4 if self.config.reach == "editable" else 6

    def gradient(self, inner: Gradient, point: Point) -> Gradient:
        """The gradient, and rho times the slope of the length of its change."""
        config = self.config

        def regularised(weights: Editable) -> Values:
            reached = point.reached(config.reach)
            slope = inner(reached)
            here = slope if reached is weights else inner(weights)
            length = _length(slope)
            if length == 0 or config.rho == 0:
                return here
            with point.shifted(reached, slope, config.mu / length):
                uphill = inner(reached)
                up = uphill if reached is weights else inner(weights)
                bend = {name: value - slope[name] for name, value in uphill.items()}
                turned = _length(bend)
                if turned == 0:
                    return here
                with point.shifted(reached, bend, config.h / turned):
                    both = inner(weights)
            with point.shifted(reached, bend, config.h / turned):
                aside = inner(weights)
            by = config.rho / config.h
            return {n: g + (both[n] - up[n] - (aside[n] - g)) * by for n, g in here.items()}

        return regularised


def _length(values: Values) -> float:
    return float(torch.nn.utils.get_total_norm(list(values.values())))
