r"""Saturation and importance weights (SatImp; Yang et al. 2025, arXiv:2505.11953).

    L = mean_t p_t^beta1 (1 - p_t)^beta2 log p_t + w L_retain      with the weight detached

beta1 fades out tokens that are already unlikely (saturation), beta2 those the model finds easy
(importance). open-unlearning weighs the forget term 0.1 instead of the retain term 10.
Limits: beta2 = 0 is weighted gradient ascent, beta1 = beta2 = 0 gradient difference.
"""

from dataclasses import dataclass

from torch import Tensor

from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step, require


@OBJECTIVES.register("satimp")
class SatImp(Objective):
    """Gradient ascent on tokens that are neither forgotten nor trivial."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Defaults of open-unlearning (forget term 0.1, retain term 1)."""

        retain_weight: float = 10.0
        """Weight of the retain term."""
        beta1: float = 5.0
        """Exponent of p (0 or more)."""
        beta2: float = 1.0
        """Exponent of 1 - p (0 or more)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.beta1 >= 0, "beta1", self.beta1, "0 or more")
            require(self.beta2 >= 0, "beta2", self.beta2, "0 or more")

    config: Config

    def forget_loss(self, step: Step) -> Tensor:
        """Doubly weighted mean log-likelihood."""
        nll_N = step.forget_said.nll_N
        p_N = (-nll_N.detach()).exp()
        weight_N = p_N**self.config.beta1 * (1 - p_N) ** self.config.beta2
        return -(weight_N * nll_N).mean()
