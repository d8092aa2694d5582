r"""UNDIAL: self-distillation on adjusted logits (Dong et al. 2024, arXiv:2402.10052).

    L = mean_t CE(q_t, p_t) + w L_retain
    q_t = softmax(z^0_t - beta e_{y_t})      z^0: logits of the model before unlearning

The target is the injected model with the fact's logit lowered by beta, so the loss is bounded and
what is learned does not drift. `masking=answers` averages over the answer tokens. `masking=peer` is
open-unlearning's form (commit d3d7cf9): the mean runs over prompt and padding too, and where there
is no label the logit numbered -100 (mod V) is lowered.
Limits: beta = 0 has no slope at the injected model.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from lacuna.data.tokens import IGNORE
from lacuna.model import logits_at, wide
from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step, require
from lacuna.unlearn.retain import View


@OBJECTIVES.register("undial")
class UNDIAL(Objective):
    """Imitate the injected model with the facts' logits lowered."""

    needs_original: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Defaults of open-unlearning: no retain term."""

        retain_weight: float = 0.0
        """Weight of the retain term."""
        beta: float = 10.0
        """How far the label's logit is lowered (0 or more)."""
        masking: str = "answers"
        """Positions that count: the `answers`' tokens, or open-unlearning's (`peer`)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.beta >= 0, "beta", self.beta, "0 or more")
            require(self.masking in ("answers", "peer"), "masking", self.masking, "answers or peer")

    config: Config

    def forget_loss(self, step: Step) -> Tensor:
        """Cross-entropy against the adjusted distributions."""
        labels_N, view = self._positions(step)
        before_NV = wide(step.original(view))
        lowered_N1 = before_NV.new_full((len(labels_N), 1), -self.config.beta)
        # -100 as a label counts from the end in the peer's form, however small the vocabulary
        place_N1 = labels_N[:, None] % before_NV.shape[1]
        wanted_NV = before_NV.scatter_add(1, place_N1, lowered_N1).softmax(dim=-1)
        return F.cross_entropy(wide(view(step.model)), wanted_NV)

    def _positions(self, step: Step) -> tuple[Tensor, View]:
        """Labels of the positions that count, and the logits that predict them."""
        peer, labels_BT = self.config.masking == "peer", step.forget.labels_BT[:, 1:]
        keep_BT = torch.ones_like(labels_BT, dtype=torch.bool) if peer else labels_BT != IGNORE
        return (
            labels_BT[keep_BT],
            lambda model: logits_at(model, step.forget, keep_BT, padding_too=peer),
        )
