r"""Negative preference optimisation (Zhang et al. 2024, arXiv:2404.05868).

    L = -(2/beta) mean_i log sigmoid(-beta r_i) + w L_retain
    r_i = log p(y_i | x_i) - log p_ref(y_i | x_i)

The log-ratio is summed over the answer (`reduction=sum`, the definition) or averaged over its
tokens (`reduction=mean`, a common variant; beta is not comparable between the two).
Limits: beta -> 0 is gradient ascent; at the reference L = (2/beta) log 2.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step, require


@OBJECTIVES.register("npo")
class NPO(Objective):
    """Treat the fact as the rejected answer, with no preferred one."""

    needs_reference: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Defaults of Lee et al., appendix A."""

        beta: float = 0.5
        """Inverse temperature (above 0)."""
        reduction: str = "sum"
        """`sum` or `mean` of the log-ratio over an answer's tokens."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.beta > 0, "beta", self.beta, "above 0")
            require(self.reduction in ("sum", "mean"), "reduction", self.reduction, "sum or mean")

    config: Config

    def forget_loss(self, step: Step) -> Tensor:
        """Smoothly bounded gradient ascent on whole answers."""
        said = step.forget_said
        ratio_B = step.forget_reference_B.to(said.nll_N) - said.sum_rows(said.nll_N)
        if self.config.reduction == "mean":
            ratio_B = ratio_B / said.count_B
        beta = self.config.beta
        return -2 / beta * F.logsigmoid(-beta * ratio_B).mean()
