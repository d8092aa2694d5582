r"""CE-U: cross-entropy unlearning (Yang 2025, arXiv:2503.01224).

    L = mean_t CE(q_t, p_t) + w L_retain
    q_t = softmax(z_t with the label's logit at -infinity), detached

The model learns its own distribution without the fact: the slope in the logits is p - q, bounded
even where the fact is certain, and gone once it is unlikely. The first `skip` tokens of every
answer are left out, as in open-unlearning. Limits: p(y_t) -> 0 has no slope.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lacuna.errors import UserError
from lacuna.model import Answers, wide
from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step, require


@OBJECTIVES.register("ceu")
class CrossEntropyUnlearning(Objective):
    """Distil the model into itself, less the fact."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Defaults of open-unlearning: no retain term."""

        retain_weight: float = 0.0
        """Weight of the retain term."""
        skip: int = 1
        """Tokens left out at the start of every answer (0 or more)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.skip >= 0, "skip", self.skip, "0 or more")

    config: Config

    def forget_loss(self, step: Step) -> Tensor:
        """Cross-entropy against the current distributions without their labels."""
        said = step.forget_said
        logits_NV = wide(said.logits_NV)
        others_NV = logits_NV.detach().scatter(1, said.labels_N[:, None], -torch.inf).softmax(-1)
        kept_N = _place_in_answer(said) >= self.config.skip
        if not kept_N.any():
            raise UserError(
                f"option skip={self.config.skip}: no answer of a batch is that long, so none of it "
                f"would be unlearned: lower it"
            )
        return F.cross_entropy(logits_NV, others_NV, reduction="none")[kept_N].mean()


def _place_in_answer(said: Answers) -> Tensor:
    """(N,) number of each token within its answer, from 0."""
    before_B = said.count_B.cumsum(0) - said.count_B
    return torch.arange(len(said.row_N), device=said.row_N.device) - before_B[said.row_N]
