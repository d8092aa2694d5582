r"""Layer-wise matching of MLP outputs to the retained model (Lee et al. 2025, Figure 1).

    L = sum_l mean_t |m_l(t) - m_l^r(t)|_2 + w L_retain       over all tokens of the forget batch

m_l is the output of layer l's MLP, m_l^r that of the retained model on the same text. A diagnostic:
it asks whether a region *can* express the retained model, which no real unlearner may look at.
Limits: zero at the retained model.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lacuna.data.tokens import Batch
from lacuna.model.hidden import outputs
from lacuna.model.value import value_modules
from lacuna.model_types import PreTrainedModel
from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step, require_same_shape


@OBJECTIVES.register("match")
class OutputMatching(Objective):
    """Imitate the retained model's MLP outputs, layer by layer."""

    needs_retained: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Defaults of Lee et al., appendix F."""

        retain_weight: float = 2.0
        """Weight of the retain term (alpha = 2 there)."""

    def forget_loss(self, step: Step) -> Tensor:
        """Sum over layers of the mean L2 distance; refuses a retained model of another shape."""
        assert step.frozen.retained is not None
        require_same_shape(step.model, step.frozen.retained)
        with torch.no_grad():
            wanted = _mlp_outputs(step.frozen.retained, step.forget)
        pairs = zip(_mlp_outputs(step.model, step.forget), wanted, strict=True)
        real_BT = step.forget.real_BT
        return torch.stack([(a - b).norm(dim=-1)[real_BT].mean() for a, b in pairs]).sum()


def _mlp_outputs(model: PreTrainedModel, batch: Batch) -> list[Tensor]:
    return outputs(model, batch, list(value_modules(model).values()))
