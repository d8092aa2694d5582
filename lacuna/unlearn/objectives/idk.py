r"""Fine-tuning on refusals (Maini et al. 2024, TOFU, arXiv:2401.06121).

    L = mean_t -log p(e_t) + w L_retain          e_i: an "I don't know" to forget question x_i

Nothing pushes the fact down but what the refusal takes from it. Limits: bounded below by 0; with
the facts themselves in place of the refusals it is ordinary training.
"""

from typing import ClassVar

from torch import Tensor

from lacuna.train import mean_nll
from lacuna.unlearn.base import OBJECTIVES, Objective, Step


@OBJECTIVES.register("idk")
class RefusalTuning(Objective):
    """Learn to answer "I don't know"."""

    needs_refusals: ClassVar[bool] = True

    def forget_loss(self, step: Step) -> Tensor:
        """Mean NLL of the refusals."""
        return mean_nll(step.refusal_said)
