r"""Randomised smoothing (Fan et al. 2025, arXiv:2502.05374, "Unlearn-Smooth").

    g' = mean_k grad L_forget(theta + sigma xi_k),   xi_k ~ N(0, I),   k = 1 .. draws

The step descends g' + w grad L_retain(theta). The noise belongs to the batch: all gradients that
another wrapper asks for at one batch see the same draws. The public code steps the optimizer before
clipping; here g' is clipped as any gradient. Limits: sigma = 0 is the objective alone; a model held
in bfloat16 computes at the rounded shifted weights, where a small sigma rounds away.
"""

from dataclasses import dataclass

import torch

from lacuna.seeds import torch_generator
from lacuna.train import Editable, Values
from lacuna.unlearn.base import require
from lacuna.unlearn.wrappers.base import WRAPPERS, Gradient, Point, ShiftConfig, Wrapper


@WRAPPERS.register("smoothing")
class Smoothing(Wrapper):
    """Unlearn on average over the neighbourhood of the weights."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ShiftConfig):
        """Defaults of the public code."""

        sigma: float = 1e-4
        """Standard deviation of the noise on each weight (0 or more)."""
        draws: int = 3
        """Number of noisy gradients that are averaged (at least 1)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.sigma >= 0, "sigma", self.sigma, "0 or more")
            require(self.draws >= 1, "draws", self.draws, "at least 1")

    config: Config
    copies = 4

    @property
    def passes(self) -> int:
        """As many as there are draws."""
        return self.config.draws

    def gradient(self, inner: Gradient, point: Point) -> Gradient:
        """The mean of gradients at weights with Gaussian noise."""

        def smoothed(weights: Editable) -> Values:
            reached = point.reached(self.config.reach)
            generator = torch_generator(point.seed, "smoothing")
            mean: Values = {}
            for k in range(self.config.draws):
                noise = {
                    name: torch.randn(master.shape, generator=generator).to(master)
                    for name, master in reached.masters.items()
                }
                with point.shifted(reached, noise, self.config.sigma):
                    found = inner(weights)
                # a running mean: that of equal gradients is the gradient, bit by bit
                for name, now in found.items():
                    mean[name] = now if k == 0 else mean[name] + (now - mean[name]) / (k + 1)
            return mean

        return smoothed
