r"""Direct preference optimisation with refusals (Rafailov et al. 2023; TOFU, arXiv:2401.06121).

    L = -(factor/beta) mean_i log sigmoid(beta (r_i(refusal) - r_i(fact))) + w L_retain
    r_i(y) = log p(y | x_i) - log p_ref(y | x_i), summed over the answer

The preferred answer is an "I don't know". `factor` scales the forget term only: 2 as in NPO is the
open-unlearning convention, Lee et al. print 1, which is half the weight against the same retain
term. Limits: at the reference L = (factor/beta) log 2.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from lacuna.unlearn.base import LATER, OBJECTIVES, Objective, ObjectiveConfig, Step, require


@OBJECTIVES.register("dpo")
class DPO(Objective):
    """Prefer a refusal to the fact."""

    needs_refusals: ClassVar[bool] = True
    needs_reference: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Defaults of Lee et al., appendix A."""

        beta: float = 0.5
        """Inverse temperature (above 0)."""
        factor: float = field(default=2.0, metadata=LATER)
        """Numerator of the forget term's weight (above 0; Lee et al. print 1)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.factor > 0, "factor", self.factor, "above 0")
            require(self.beta > 0, "beta", self.beta, "above 0")

    config: Config

    def forget_loss(self, step: Step) -> Tensor:
        """Preference loss of refusal over fact."""
        fact, refusal = step.forget_said, step.refusal_said
        fact_B = step.forget_reference_B.to(fact.nll_N) - fact.sum_rows(fact.nll_N)
        refusal_B = step.refusal_reference_B.to(fact.nll_N) - refusal.sum_rows(refusal.nll_N)
        beta = self.config.beta
        return -self.config.factor / beta * F.logsigmoid(beta * (refusal_B - fact_B)).mean()
