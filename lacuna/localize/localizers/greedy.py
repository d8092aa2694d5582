r"""Greedy: switch off the weights that seem to serve the facts most, a few at a time (TinyMem).

    repeat: g = grad NLL_forget at the weights that are left; switch off those with the largest -w g

-w g is what switching a weight off does to the facts' loss, to first order. Asked again after every
few weights, the estimate sees what the absence of others changes. `share` of all weights of the
output matrices go in `steps` steps (one weight a step in the public code). A weight that went at
step k of n scores n - k + 1, one that stayed between 0 and 1 in the order of its first -w g; the
score of a vector is its weights' mean. Limits: steps = 1 is the first-order estimate alone; a fact
told with certainty has no gradient at first.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lacuna.costs import REGION, Workload
from lacuna.data.tokens import reading_batches
from lacuna.errors import UserError
from lacuna.localize.base import LOCALIZERS, Localizer, LocalizerConfig, Scores, at_least_one
from lacuna.localize.evidence import Evidence
from lacuna.localize.masking import switch_slopes
from lacuna.model.value import value_modules


@LOCALIZERS.register("greedy")
class Greedy(Localizer):
    """Weights in the order in which the facts would miss them."""

    surveyed: ClassVar[bool] = False

    @dataclass(frozen=True, kw_only=True)
    class Config(LocalizerConfig):
        """How many go, and how often is asked."""

        share: float = 0.01
        """Share of all weights that are switched off (above 0, below 1)."""
        steps: int = 20
        """Number of steps (at least 1)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            at_least_one("greedy.steps", self.steps)
            if not 0 < self.share < 1:
                raise UserError(f"greedy: share={self.share}: must be above 0 and below 1")

    config: Config

    def scores(self, evidence: Evidence) -> Scores:
        """Mean of the weights' scores."""
        return {name: score.mean(dim=0) for name, score in self.weight_scores(evidence).items()}

    def weight_scores(self, evidence: Evidence) -> Scores:
        """Higher the earlier a weight goes."""
        model, modules = evidence.model, value_modules(evidence.model)
        device, steps = model.device, self.config.steps
        sizes = [module.weight.numel() for module in modules.values()]
        shapes = [module.weight.shape for module in modules.values()]
        score = torch.zeros(sum(sizes), device=device)
        due = torch.linspace(0, self.config.share * len(score), steps + 1).round().long().tolist()
        first: Tensor | None = None
        for step in range(steps):
            parts = (score == 0).float().split(sizes)
            masks = [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
            rise = self._rise(evidence, dict(zip(modules, masks, strict=True)))
            first = rise.clone() if first is None else first
            rise[score > 0] = -torch.inf
            best = rise.argsort(descending=True, stable=True)[: due[step + 1] - due[step]]
            score[best] = float(steps - step)
        assert first is not None
        stays = 0.5 + first / (1 + first.abs()) / 2
        score = torch.where(score > 0, score, stays)
        found = [
            part.view(shape).cpu() for part, shape in zip(score.split(sizes), shapes, strict=True)
        ]
        return dict(zip(modules, found, strict=True))

    @staticmethod
    def _rise(evidence: Evidence, masks: dict[str, Tensor]) -> Tensor:
        """-w g of every weight, flat, of the facts' NLL with some weights off."""
        modules, total = value_modules(evidence.model), torch.zeros(0)
        for batch in reading_batches(evidence.forget, evidence.max_tokens):
            slopes, _ = switch_slopes(evidence.model, modules, masks, {1.0: batch})
            part = torch.cat([slope.flatten() for slope in slopes.values()]) * len(batch.index_B)
            total = total.to(part) + part if len(total) else part
        return -total / len(evidence.forget)

    def work(self, load: Workload) -> float:
        """A gradient of all forget texts at every step."""
        return REGION * self.config.steps * load.forget.tokens
