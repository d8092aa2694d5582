r"""Matching the retained model's outputs (oracle matching; Georgiev et al. 2024, arXiv:2410.23232).

    L = mean_t KL(p_r(. | y_<t) || p(. | y_<t)) + w L_retain      over answer tokens of forget

p_r is the retained model. A diagnostic: nobody who unlearns for good reason has that model. The
paper matches on retain data too; here that is the retain term's work.
Limits: the forget term is zero, without slope, at the retained model.
"""

from typing import ClassVar

import torch
from torch import Tensor

from lacuna.model import answers
from lacuna.train import mean_kl
from lacuna.unlearn.base import OBJECTIVES, Objective, Step


@OBJECTIVES.register("match_kl")
class DistributionMatching(Objective):
    """Imitate the retained model's predictions on the forget answers."""

    needs_retained: ClassVar[bool] = True

    def forget_loss(self, step: Step) -> Tensor:
        """Mean KL from the retained model."""
        assert step.frozen.retained is not None
        with torch.no_grad():
            wanted_NV = answers(step.frozen.retained, step.forget).logits_NV
        return mean_kl(step.forget_said.logits_NV, wanted_NV)
