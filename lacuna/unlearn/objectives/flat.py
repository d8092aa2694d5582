r"""FLAT: loss adjustment with forget data only (Wang et al. 2024, arXiv:2410.11143).

    L = mean_i [ f*(g(P(y_i))) - g(P(e_i)) ] + w L_retain
    P(y) = mean_t p(y_t), over the answer's tokens;   e_i: an "I don't know" to question x_i

The variational form of an f-divergence between refusals and facts, f* its conjugate and g an
activation into f*'s domain; g and f*(g) are below. g rises for every divergence, as in f-GAN
(Nowozin et al. 2016). The public code has g = 1 - e^v for squared Hellinger and Neyman and
g = -e^v for reverse KL: falling, so that minimising would teach the fact or unteach the refusal.
It also divides P by the padded length, where here it is a mean over the answer. Jeffrey's
conjugate is its expansion to third order, as there.
Limits: total variation is zero where P(y) = P(e); P near 0 has little slope in the logits.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from lacuna.model import Answers
from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step, require

Function = Callable[[Tensor], Tensor]

DIVERGENCES: dict[str, tuple[Function, Function]] = {
    "total_variation": (lambda v: torch.tanh(v) / 2, lambda v: torch.tanh(v) / 2),
    "jensen_shannon": (
        lambda v: math.log(2) - F.softplus(-v),
        lambda v: F.softplus(v) - math.log(2),
    ),
    "kl": (lambda v: v, lambda v: torch.exp(v - 1)),
    "reverse_kl": (lambda v: -torch.exp(-v), lambda v: v - 1),
    "pearson": (lambda v: v, lambda v: v**2 / 4 + v),
    "neyman": (lambda v: -torch.expm1(-v), lambda v: -2 * torch.expm1(-v / 2)),
    "squared_hellinger": (lambda v: -torch.expm1(-v), torch.expm1),
    "jeffrey": (lambda v: v, lambda v: v + v**2 / 4 + v**3 / 16),
}
"""Name -> g(v) and f*(g(v))."""


@OBJECTIVES.register("flat")
class FLAT(Objective):
    """Tell refusals from facts, with nothing but the forget questions."""

    needs_refusals: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Default of the public code: no retain term."""

        retain_weight: float = 0.0
        """Weight of the retain term."""
        divergence: str = "total_variation"
        """Name of the f-divergence, such as `total_variation`."""

        def __post_init__(self) -> None:
            super().__post_init__()
            known = self.divergence in DIVERGENCES
            require(known, "divergence", self.divergence, f"one of {', '.join(DIVERGENCES)}")

    config: Config

    def forget_loss(self, step: Step) -> Tensor:
        """Negative divergence estimate, averaged over the questions."""
        g, conjugate = DIVERGENCES[self.config.divergence]
        fact_B, refusal_B = (
            _mean_probability(step.forget_said),
            _mean_probability(step.refusal_said),
        )
        return (conjugate(fact_B) - g(refusal_B)).mean()


def _mean_probability(said: Answers) -> Tensor:
    """(B,) probability of an answer's tokens, averaged."""
    return said.sum_rows((-said.nll_N).exp()) / said.count_B
