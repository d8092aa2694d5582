r"""Weighted gradient ascent (Wang et al. 2025, arXiv:2502.19301), as used by Lee et al. 2025.

    L = mean_t p_t^alpha log p_t + w L_retain      with p_t detached in the weight

The sign is the one that unlearns; Lee et al. print the opposite one, which would train the fact.
They sum over an answer's tokens and average over answers; this is the mean over all tokens of the
batch, which weighs forget against retain alike whatever the answers' length.
Limits: alpha = 0 is gradient difference; a large alpha leaves tokens alone once they are unlikely.
"""

from dataclasses import dataclass

from torch import Tensor

from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step, require


@OBJECTIVES.register("wga")
class WeightedGradientAscent(Objective):
    """Gradient ascent that fades out where the answer is already unlikely."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Defaults of Lee et al., appendix A."""

        alpha: float = 0.1
        """Exponent of the confidence weight (0 or more)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.alpha >= 0, "alpha", self.alpha, "0 or more")

    config: Config

    def forget_loss(self, step: Step) -> Tensor:
        """Confidence-weighted mean log-likelihood."""
        nll_N = step.forget_said.nll_N
        weight_N = (-self.config.alpha * nll_N.detach()).exp()
        return -(weight_N * nll_N).mean()
