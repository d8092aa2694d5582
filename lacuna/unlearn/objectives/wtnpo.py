r"""Weighted token-wise NPO (WTNPO; Wang et al. 2025, arXiv:2502.19301).

    L = mean_t w_t log p_t + w L_retain
    w_t = 2 p_t^(beta + alpha) / (p_t^beta + p_ref,t^beta)      detached; p_ref: before unlearning

The weight of TNPO times that of WGA. Limits: alpha = 0 is TNPO, beta -> 0 is WGA.
"""

from dataclasses import dataclass

from torch import Tensor

from lacuna.unlearn.base import OBJECTIVES, require
from lacuna.unlearn.objectives.tnpo import TokenNPO


@OBJECTIVES.register("wtnpo")
class WeightedTokenNPO(TokenNPO):
    """Token-wise NPO that also fades out where a token is unlikely."""

    @dataclass(frozen=True, kw_only=True)
    class Config(TokenNPO.Config):
        """Defaults of the public code."""

        alpha: float = 1.5
        """Exponent of the confidence weight (0 or more)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.alpha >= 0, "alpha", self.alpha, "0 or more")

    config: Config

    def weight(self, nll_N: Tensor, reference_N: Tensor) -> Tensor:
        """TNPO's weights times p^alpha."""
        return super().weight(nll_N, reference_N) * (-self.config.alpha * nll_N).exp()
