r"""Token-wise negative preference optimisation (TNPO; Wang et al. 2025, arXiv:2502.19301).

    L = mean_t w_t log p_t + w L_retain
    w_t = 2 p_t^beta / (p_t^beta + p_ref,t^beta)      detached; p_ref: before unlearning

NPO with every token as an answer of its own: the gradient is that of
-(2/beta) mean_t log sigmoid(-beta log(p_t / p_ref,t)). The public code adds 1e-5 to the
denominator, which also spares tokens that the injected model finds unlikely; here they count.
Limits: at the reference w_t = 1, as for beta -> 0, which is gradient difference.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step, require


@OBJECTIVES.register("tnpo")
class TokenNPO(Objective):
    """Gradient ascent that fades out where a token is less likely than it was."""

    needs_reference: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Default of the public code."""

        beta: float = 4.0
        """Inverse temperature (above 0)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.beta > 0, "beta", self.beta, "above 0")

    config: Config

    def forget_loss(self, step: Step) -> Tensor:
        """Weighted mean log-likelihood."""
        nll_N = step.forget_said.nll_N
        return -(self.weight(nll_N.detach(), step.forget_reference_N.to(nll_N)) * nll_N).mean()

    def weight(self, nll_N: Tensor, reference_N: Tensor) -> Tensor:
        """(N,) weights of the tokens, from -log p now and before."""
        return 2 * (self.config.beta * (reference_N - nll_N)).sigmoid()
