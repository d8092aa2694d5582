r"""Token-selective unlearning (in the style of DTO, Direct Token Optimization, arXiv:2510.00125).

    L = L_u(targets) + k mean_{other t} KL(p_0(. | y_<t) || p(. | y_<t)) + w L_retain
    L_u    ga   mean_t log p(y_t)
           npo  -(2/beta) mean_i log sigmoid(-beta r_i),   r_i = sum_t log p(y_t) - log p_0(y_t)

Of every forget answer the `share` of its tokens with the highest score are targets (at least one):

    delta     log p_0(y_t | x, y_<t) - mean_x' log p_0(y_t | x', y_<t),   x' four other questions
    surprise  -log p_0(y_t | x, y_<t)

so that what carries the fact is unlearned and its phrasing is held, without retain data. Public are
the words "delta score", KL on non-targets and an orthogonalisation, not the formulas: the score,
k, share and L_u are ours, and gradients that conflict are not made orthogonal. Limits: share = 1 is
`ga` or `npo`; k -> inf leaves the other tokens' predictions alone.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from lacuna.costs import READ, Workload
from lacuna.data.tokens import IGNORE, Encoded
from lacuna.model import answers
from lacuna.model_types import PreTrainedModel
from lacuna.train import Editable, TrainConfig, mean_kl
from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step, UnlearnData, require
from lacuna.unlearn.reference import answer_token_nll

OTHERS = 4
"""Other questions that an answer is held against."""
LOSSES, TARGETS = ("npo", "ga"), ("delta", "surprise")


@OBJECTIVES.register("dto")
class DTO(Objective):
    """Unlearn the tokens that depend on the question, hold the others."""

    needs_reference: ClassVar[bool] = True
    needs_original: ClassVar[bool] = True
    spreads: ClassVar[bool] = False  # chooses tokens before the first step

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Which tokens, and how; no retain term, as published."""

        retain_weight: float = 0.0
        """Weight of the retain term."""
        targets: str = "delta"
        """Score by which tokens are chosen: `delta` or `surprise`."""
        share: float = 0.3
        """Share of an answer's tokens that are unlearned (above 0, at most 1)."""
        hold: float = 1.0
        """k: weight of the other tokens' distance from the injected model (0 or more)."""
        forget: str = "npo"
        """How targets are unlearned: `npo` or `ga`."""
        beta: float = 0.5
        """Inverse temperature of `npo` (above 0)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.targets in TARGETS, "targets", self.targets, " or ".join(TARGETS))
            require(0 < self.share <= 1, "share", self.share, "above 0 and at most 1")
            require(self.hold >= 0, "hold", self.hold, "0 or more")
            require(self.forget in LOSSES, "forget", self.forget, " or ".join(LOSSES))
            require(self.beta > 0, "beta", self.beta, "above 0")

    config: Config

    @contextmanager
    def trained(
        self, model: PreTrainedModel, weights: Editable, data: UnlearnData, seed: int
    ) -> Iterator[Editable]:
        """The same weights, once every answer's targets are chosen."""
        scores = answer_token_nll(model, data.forget)
        if self.config.targets == "delta":
            scores = delta_scores(model, data.forget, scores)
        self.targets = [_highest(score_N, self.config.share) for score_N in scores]
        yield weights

    def forget_loss(self, step: Step) -> Tensor:
        """The loss of the targets, and the distance of the others."""
        chosen_N = torch.cat([self.targets[row] for row in step.forget.index_B.tolist()])
        chosen_N = chosen_N.to(step.model.device)
        others = not bool(chosen_N.all()) and self.config.hold > 0
        before_NV = step.original(lambda m: answers(m, step.forget).logits_NV) if others else None
        loss = self._unlearn(step, chosen_N)
        if before_NV is None:
            return loss
        said_NV = step.forget_said.logits_NV
        return loss + self.config.hold * mean_kl(said_NV[~chosen_N], before_NV[~chosen_N])

    def _unlearn(self, step: Step, chosen_N: Tensor) -> Tensor:
        said = step.forget_said
        if self.config.forget == "ga":
            return -said.nll_N[chosen_N].mean()
        ratio_N = step.forget_reference_N.to(said.nll_N) - said.nll_N
        ratio_B = said.sum_rows(ratio_N.where(chosen_N, 0.0))
        beta = self.config.beta
        return -2 / beta * F.logsigmoid(-beta * ratio_B).mean()

    def work(self, load: Workload, train: TrainConfig, gradient: float) -> float:
        """The objective's own, and readings of the answers behind their own and other questions."""
        asked = 1 + (OTHERS if self.config.targets == "delta" else 0)
        return super().work(load, train, gradient) + READ * asked * load.forget.tokens


def delta_scores(
    model: PreTrainedModel, texts: Sequence[Encoded], own: Sequence[Tensor]
) -> list[Tensor]:
    """How much likelier each answer's tokens are behind their own question than behind others.

    `own` are their costs -log p behind their own. The others stand evenly spread in the list.
    """
    steps = sorted({k * len(texts) // (OTHERS + 1) for k in range(1, OTHERS + 1)} - {0})
    total = [torch.zeros_like(cost_N) for cost_N in own]
    for step in steps:
        moved = [_behind(texts[(i + step) % len(texts)], text) for i, text in enumerate(texts)]
        for sum_N, cost_N in zip(total, answer_token_nll(model, moved), strict=True):
            sum_N += cost_N
    means = [sum_N / max(1, len(steps)) for sum_N in total]
    return [mean_N - cost_N for mean_N, cost_N in zip(means, own, strict=True)]


def _behind(other: Encoded, text: Encoded) -> Encoded:
    """A text's answer behind another text's question."""
    head = other.ids[: _start(other)]
    tail = text.ids[_start(text) :]
    return Encoded([*head, *tail], [IGNORE] * len(head) + tail)


def _start(text: Encoded) -> int:
    return next((i for i, label in enumerate(text.labels) if label != IGNORE), len(text.labels))


def _highest(score_N: Tensor, share: float) -> Tensor:
    """(N,) booleans: the highest scores, equal ones in order."""
    count = max(1, math.ceil(share * len(score_N)))
    chosen = torch.zeros(len(score_N), dtype=torch.bool)
    chosen[score_N.argsort(descending=True, stable=True)[:count]] = True
    return chosen
