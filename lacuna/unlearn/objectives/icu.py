r"""Contrastive unlearning (ICU; Tang et al. 2024, arXiv:2407.20271): each fact beside its twin.

    L = mean_t log p(y_t | forget) - b mean_t log p(y_t | n) + k mean_t KL(p_0 || p) + w L_retain

n are the nearest retain texts of the forget batch's texts, one each: those whose last hidden
states, averaged over the answer, have the largest cosine under the injected model (the paper asks a
sentence encoder). Defaults as published (1, .5, 1); what it calls KL there is the cross-entropy,
which has the same slope. Limits: b = k = 0 is gradient ascent.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lacuna.costs import READ, Workload
from lacuna.data.tokens import IGNORE, Encoded, collate, reading_batches
from lacuna.model import answers
from lacuna.model.hidden import decoder_layers, outputs
from lacuna.model_types import PreTrainedModel
from lacuna.train import Editable, TrainConfig, mean_kl, mean_nll
from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step, UnlearnData, require


@OBJECTIVES.register("icu")
class ICU(Objective):
    """Unlearn a text, and hold the one next to it."""

    needs_original: ClassVar[bool] = True
    spreads: ClassVar[bool] = False  # pairs the texts before the first step

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Weights of the terms, as published; the neighbours are the retain term."""

        retain_weight: float = 0.0
        """Weight of a retain term besides."""
        learn: float = 0.5
        """b: weight of the neighbours' answers (0 or more)."""
        hold: float = 1.0
        """k: weight of the distance from the injected model on them (0 or more)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.learn >= 0, "learn", self.learn, "0 or more")
            require(self.hold >= 0, "hold", self.hold, "0 or more")

    config: Config

    @contextmanager
    def trained(
        self, model: PreTrainedModel, weights: Editable, data: UnlearnData, seed: int
    ) -> Iterator[Editable]:
        """The same weights, once every forget text has its neighbour."""
        forget_ID, retain_JD = (_means(model, texts) for texts in (data.forget, data.retain))
        nearest = (forget_ID @ retain_JD.T).argmax(dim=1)
        self.neighbours = [data.retain[j] for j in nearest.tolist()]
        yield weights

    def forget_loss(self, step: Step) -> Tensor:
        """Ascent on the facts, descent and distance on their neighbours."""
        rows = step.forget.index_B.tolist()
        batch = collate(self.neighbours, rows).to(step.model.device)
        before_NV = step.original(lambda model: answers(model, batch).logits_NV)
        said = answers(step.model, batch)
        loss = -mean_nll(step.forget_said) + self.config.learn * mean_nll(said)
        return loss + self.config.hold * mean_kl(said.logits_NV, before_NV)

    def work(self, load: Workload, train: TrainConfig, gradient: float) -> float:
        """The objective's own, the neighbours', and a reading of all texts before."""
        twins = (gradient + READ) * load.retain.drawn(train.texts)
        known = READ * (load.forget.tokens + load.retain.tokens)
        return super().work(load, train, gradient) + twins + known


@torch.no_grad()
def _means(model: PreTrainedModel, texts: Sequence[Encoded]) -> Tensor:
    """(texts, D) last hidden states averaged over each answer, of length 1."""
    last, rows = decoder_layers(model)[-1:], [torch.zeros(0)] * len(texts)
    for batch in reading_batches(texts, 4096):
        h_BTD = outputs(model, batch.to(model.device), last)[0].float().cpu()
        for b, index in enumerate(batch.index_B.tolist()):
            rows[index] = h_BTD[b][batch.labels_BT[b] != IGNORE].mean(dim=0)
    return torch.nn.functional.normalize(torch.stack(rows), dim=1)
