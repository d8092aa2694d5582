r"""PDU: constrained unlearning by a primal-dual method (Entesari et al. 2025, arXiv:2506.05314).

    L = mean_t (max_v z_t(v) - mean_v z_t(v))^2 + lambda (L_retain - epsilon)
    lambda <- max(0, lambda + rate (L_retain - epsilon))      after every batch, from w

Flattens the logits at the answers while L_retain stays below epsilon: the multiplier grows where
it does not, and falls to zero where it does. `masking=answers` takes the logits that predict answer
tokens; `masking=peer` is open-unlearning's form (commit d3d7cf9), which takes those at the answer
tokens, one position late. Its updates per epoch and its warm-up of lambda are not offered.
Limits: rate = 0 is a fixed weight w; w = 0 leaves the constraint out.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lacuna.data.tokens import IGNORE
from lacuna.model import logits_at, wide
from lacuna.model_types import PreTrainedModel
from lacuna.train import Loss
from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step, require


@OBJECTIVES.register("pdu")
class PrimalDual(Objective):
    """Flatten the logits of the facts under a bound on the retain term."""

    spreads: ClassVar[bool] = False  # its multiplier is in no checkpoint

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """How the bound is kept."""

        retain_weight: float = 1.0
        """Multiplier at the start; 0 leaves the constraint out."""
        epsilon: float = 0.3
        """Bound on the retain term (0 or more): just above its value before unlearning."""
        dual_rate: float = 1.0
        """Step of the multiplier per batch (0 or more)."""
        masking: str = "answers"
        """Positions that count: the `answers`' tokens, or open-unlearning's (`peer`)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.epsilon >= 0, "epsilon", self.epsilon, "0 or more")
            require(self.dual_rate >= 0, "dual_rate", self.dual_rate, "0 or more")
            require(self.masking in ("answers", "peer"), "masking", self.masking, "answers or peer")

    config: Config

    def prepare(self, model: PreTrainedModel, generator: torch.Generator) -> None:
        """Set the multiplier."""
        self.multiplier = torch.tensor(self.config.retain_weight, device=model.device)

    def forget_loss(self, step: Step) -> Tensor:
        """Mean squared margin of the largest logit over the average one."""
        if self.config.masking == "peer":
            logits_NV = logits_at(step.model, step.forget, step.forget.labels_BT != IGNORE)
        else:
            logits_NV = step.forget_said.logits_NV
        logits_NV = wide(logits_NV)
        return (logits_NV.amax(dim=-1) - logits_NV.mean(dim=-1)).square().mean()

    def loss(self, step: Step) -> Loss:
        """The Lagrangian; moves the multiplier."""
        if not self.uses_retain:
            return super().loss(step)
        forget, retain = self.terms(step)
        excess, multiplier = retain - self.config.epsilon, self.multiplier
        self.multiplier = (multiplier + self.config.dual_rate * excess.detach()).clamp(min=0)
        return Loss(
            forget + multiplier * excess,
            {
                "loss/forget": forget.detach(),
                "loss/retain": retain.detach(),
                "loss/multiplier": multiplier,
            },
        )
