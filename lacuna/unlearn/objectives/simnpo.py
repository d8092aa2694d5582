r"""SimNPO: preference optimisation without a reference (Fan et al. 2024, arXiv:2410.07163).

    L = -(2/beta) mean_i log sigmoid(beta (l_i - delta)) + w L_retain
    l_i = mean_t -log p(y_t), over the tokens of answer i

The paper's margin is gamma = beta delta. Length-normalised, so long answers count no more than
short ones. open-unlearning weighs the forget term 1/8 instead of the retain term 8. LACUNA takes
beta 10, delta 1.5, and weights gamma 3 and alpha .01 (7B: .5): retain_weight alpha / gamma = .0033
(.17), as AdamW divides a common factor away, up to clipping (at 1 there: at 1 / gamma here). In
short answers beta 1 forgets what 4.5 leaves at ES .1 (docs/log).
Limits: beta -> 0 is gradient ascent averaged per answer; l_i far above delta has no slope.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step, require


@OBJECTIVES.register("simnpo")
class SimNPO(Objective):
    """Push every answer's mean NLL past a margin."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Defaults of open-unlearning (forget term 0.125, retain term 1)."""

        retain_weight: float = 8.0
        """Weight of the retain term."""
        beta: float = 4.5
        """Inverse temperature (above 0)."""
        delta: float = 0.0
        """Mean NLL per token that counts as half forgotten (0 or more)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.beta > 0, "beta", self.beta, "above 0")
            require(self.delta >= 0, "delta", self.delta, "0 or more")

    config: Config

    def forget_loss(self, step: Step) -> Tensor:
        """Smoothly bounded gradient ascent on answers, each averaged over its tokens."""
        said, beta = step.forget_said, self.config.beta
        cost_B = said.sum_rows(said.nll_N) / said.count_B
        return -2 / beta * F.logsigmoid(beta * (cost_B - self.config.delta)).mean()
