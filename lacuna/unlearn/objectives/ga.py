r"""Gradient ascent (Jang et al. 2023, arXiv:2210.01504).

    L = mean_t log p(y_t)            over all answer tokens of the forget batch

Limits: unbounded below; nothing protects what is to be kept (`retain_weight` is 0).
"""

from dataclasses import dataclass

from torch import Tensor

from lacuna.train import mean_nll
from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step


@OBJECTIVES.register("ga")
class GradientAscent(Objective):
    """Raise the loss on the forget set."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """No options of its own."""

        retain_weight: float = 0.0
        """Weight of the retain term; above 0 this is gradient difference."""

    def forget_loss(self, step: Step) -> Tensor:
        """Negative mean NLL of the forget batch."""
        return -mean_nll(step.forget_said)
