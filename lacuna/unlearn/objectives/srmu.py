r"""SRMU: misdirection of the features that forget text uses (arXiv:2512.16297).

    L = mean_t |h_l(t) - T|^2 / D + w mean_t |h_l(t) - h_l^0(t)|^2 / D,    T = c V * I / max I
    I = log(1 + v_f / v_r)   ratio (the paper's best)
        max(v_f - v_r, 0)    difference
        v_f v_r              product

v_f and v_r are the mean |h_l^0| of each coordinate over the answer tokens of all forget and of at
most 256 retain texts, V random signs, drawn once for a trial by its seed; a coordinate that forget
does not use more than retain is sent to the origin. The paper prints raw means, which may be
negative and leave the logarithm undefined: hence |.|. Its w is 1200, its layer, c and rates are not
public; those of `rmu` are the defaults. Limits: where all of I are equal this is RMU towards a
vector of signs.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lacuna.costs import READ, Workload
from lacuna.data.tokens import Encoded, reading_batches
from lacuna.localize.evidence import evenly
from lacuna.model_types import PreTrainedModel
from lacuna.seeds import torch_generator
from lacuna.train import Editable, TrainConfig
from lacuna.unlearn.base import OBJECTIVES, UnlearnData, require
from lacuna.unlearn.objectives.rmu import RMU
from lacuna.unlearn.retain import hidden_states

STUDIED = 256
"""Retain texts whose mean activations are read, at most."""
IMPORTANCES = ("ratio", "difference", "product")


@OBJECTIVES.register("srmu")
class SRMU(RMU):
    """Steer most what forget answers use and retain answers do not."""

    spreads: ClassVar[bool] = False  # reads the texts before the first step

    @dataclass(frozen=True, kw_only=True)
    class Config(RMU.Config):
        """Those of `rmu`, and how features are weighed."""

        importance: str = "ratio"
        """How a coordinate's use by forget is held against that by retain: `ratio`, `difference` or
        `product`."""

        def __post_init__(self) -> None:
            super().__post_init__()
            known = " or ".join(IMPORTANCES)
            require(self.importance in IMPORTANCES, "importance", self.importance, known)

    config: Config

    @contextmanager
    def trained(
        self, model: PreTrainedModel, weights: Editable, data: UnlearnData, seed: int
    ) -> Iterator[Editable]:
        """The same weights, once the target is known."""
        used = (data.forget, evenly(data.retain, STUDIED))
        forget_D, retain_D = (self._use(model, texts) for texts in used)
        drawn_D = torch.randint(2, forget_D.shape, generator=torch_generator(seed, "signs"))
        sign_D = (2 * drawn_D - 1).to(forget_D)
        self.target_D = self.config.scale * sign_D * self.importance(forget_D, retain_D)
        yield weights

    def importance(self, forget_D: Tensor, retain_D: Tensor) -> Tensor:
        """(D,) from 0 to 1: what each coordinate is to forget rather than to retain."""
        tiny = torch.finfo(forget_D.dtype).tiny
        if self.config.importance == "ratio":
            found_D = (forget_D / retain_D.clamp_min(tiny)).log1p()
        elif self.config.importance == "difference":
            found_D = (forget_D - retain_D).clamp_min(0)
        else:
            found_D = forget_D * retain_D
        return found_D / found_D.max().clamp_min(tiny)

    @torch.no_grad()
    def _use(self, model: PreTrainedModel, texts: Sequence[Encoded]) -> Tensor:
        """(D,) mean |h| over the answer tokens of all texts."""
        layers, total, tokens = self.kept_layers(model), torch.zeros(0), 0
        for batch in reading_batches(texts, 4096):
            h_ND = hidden_states(model, batch.to(model.device), layers)[0]
            total_D = h_ND.abs().sum(dim=0)
            total = total + total_D if tokens else total_D
            tokens += len(h_ND)
        return total / tokens

    def work(self, load: Workload, train: TrainConfig, gradient: float) -> float:
        """RMU's, and a reading of the texts whose activations are weighed."""
        return super().work(load, train, gradient) + READ * (
            load.forget.tokens + load.retain.some(STUDIED)
        )
