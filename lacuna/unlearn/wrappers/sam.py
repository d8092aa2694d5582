r"""Sharpness-aware unlearning (Fan et al. 2025, arXiv:2502.05374, "Unlearn-Smooth").

    g' = grad L_forget(theta + rho g / |g|),   g = grad L_forget(theta)

The step descends g' + w grad L_retain(theta): the retain gradient is not perturbed. |g| is the
2-norm over all weights that `reach` names, so that the shift is rho long. The public code shifts
bfloat16 weights, where most of it rounds away, and drops micro-batches under accumulation; here
float32 masters are shifted and every micro-batch has its own shift. With `reach=all` the shift
leaves the region, the update does not. Limits: rho = 0, and a batch without slope, are the
objective alone. A model held in bfloat16 computes at the rounded shifted weights.
"""

from dataclasses import dataclass

import torch

from lacuna.train import Editable, Values
from lacuna.unlearn.base import require
from lacuna.unlearn.wrappers.base import WRAPPERS, Gradient, Point, ShiftConfig, Wrapper


@WRAPPERS.register("sam")
class SAM(Wrapper):
    """Unlearn at the nearby weights where the facts are least forgotten."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ShiftConfig):
        """Default of the public script."""

        rho: float = 0.01
        """Length rho of the shift (0 or more)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.rho >= 0, "rho", self.rho, "0 or more")

    config: Config
    copies = 4

    @property
    def passes(self) -> int:
        """Two: one for the direction, one at the shifted weights."""
        return 2

    def gradient(self, inner: Gradient, point: Point) -> Gradient:
        """The gradient at the weights that a step of length rho up the slope leads to."""

        def uphill(weights: Editable) -> Values:
            reached = point.reached(self.config.reach)
            slope = inner(reached)
            length = float(torch.nn.utils.get_total_norm(list(slope.values())))
            if length == 0:
                return inner(weights)
            with point.shifted(reached, slope, self.config.rho / length):
                return inner(weights)

        return uphill
