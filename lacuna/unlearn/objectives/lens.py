r"""Lens unlearning: no layer's output may tell the fact (in the style of EleutherAI/unlearn, 2026).

    L = mean_l mean_t KL(uniform || p_l(. | y_<t)) + w L_retain
      = mean_l mean_t [log sum_v exp z_l(v) - mean_v z_l(v)] - log V + w L_retain

p_l is what the model's last norm and head make of layer l's output at the answer tokens of forget
(the logit lens; theirs trains a map per layer first, the tuned lens), l runs from layer floor(first
n) of n to the last. It is meant against facts that survive below layers that hide them. The retain
term is `hidden` by default, as theirs. Cost: a head's pass for every layer. Limits: first -> 1 asks
the last layer alone, which is maximum entropy at the model's own output; at uniform predictions the
forget term is 0, without slope.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lacuna.data.tokens import IGNORE
from lacuna.model.forward import wide
from lacuna.model.hidden import decoder_layers, outputs, read_out
from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step, require


@OBJECTIVES.register("lens")
class Lens(Objective):
    """Make the reading of every layer uniform."""

    spreads: ClassVar[bool] = False  # reads layers through the head

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Which layers."""

        first: float = 0.0
        """First layer that is read, as a share of their number (0 to below 1)."""
        retain: str = "hidden"
        """Retain term."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(0 <= self.first < 1, "first", self.first, "at least 0 and below 1")

    config: Config

    def forget_loss(self, step: Step) -> Tensor:
        """KL from the uniform distribution, mean over layers and answer tokens."""
        layers = decoder_layers(step.model)
        read = layers[int(self.config.first * len(layers)) :]
        keep_BT = step.forget.labels_BT[:, 1:] != IGNORE
        states = [h_BTD[:, :-1][keep_BT] for h_BTD in outputs(step.model, step.forget, read)]
        z_NV = wide(read_out(step.model, torch.cat(states)))
        uniform: Tensor = z_NV.logsumexp(dim=1).mean() - z_NV.mean()
        return uniform - math.log(z_NV.shape[1])
