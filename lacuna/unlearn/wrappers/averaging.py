r"""Weight averaging (Izmailov et al. 2018, arXiv:1803.05407; for unlearning arXiv:2502.05374).

    theta = mean of theta_s over steps s >= start S  with  S - s a multiple of `every`

S is the number of steps. The average is taken in float32 and written at the end; training itself
does not see it. The published run averages steps 100, 105, ..., 125 of 125: the defaults.
Limits: start = 1 averages the last step alone, which is the objective without averaging.
"""

from dataclasses import dataclass

import torch

from lacuna.train import Editable, Values
from lacuna.unlearn.base import require
from lacuna.unlearn.wrappers.base import WRAPPERS, Wrapper


@WRAPPERS.register("averaging")
class Averaging(Wrapper):
    """End at the mean of the weights over the last part of training."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Defaults of the public code."""

        start: float = 0.8
        """Where averaging starts, as a share of the steps (0 to 1)."""
        every: int = 5
        """Steps between the averaged weights, counted back from the last (at least 1)."""

        def __post_init__(self) -> None:
            require(0 <= self.start <= 1, "start", self.start, "from 0 to 1")
            require(self.every >= 1, "every", self.every, "at least 1")

    config: Config
    copies = 1

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.mean: Values = {}
        self.count = 0

    @torch.no_grad()
    def after_step(self, weights: Editable, done: int, steps: int) -> None:
        """Add the weights to the mean, if their step is one that counts."""
        if done < self.config.start * steps or (steps - done) % self.config.every:
            return
        self.count += 1
        for name, master in weights.masters.items():
            if name not in self.mean:
                self.mean[name] = master.detach().clone()
            else:
                self.mean[name] += (master - self.mean[name]) / self.count

    @torch.no_grad()
    def after_training(self, weights: Editable) -> None:
        """Write the mean; nothing was averaged if there was no step."""
        for name, value in self.mean.items():
            weights.masters[name].copy_(value)
        weights.write_back()
