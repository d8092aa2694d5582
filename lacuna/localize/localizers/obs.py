r"""Optimal brain surgeon: what removing a weight costs the facts (TinyMem's OBS localizer).

    s_j = w_j^2 / (2 [F^-1]_jj),   F = damp I + mean over texts of g g^T

F is taken in blocks of `block` weights, which follow each output matrix row by row (Kurtic et al.
2022, arXiv:2203.07259); g is the gradient of one forget text's token-mean NLL. F^-1 lets the
block's other weights make up for one that goes. The score of a vector is its weights' mean. Each
matrix takes a reading of the texts of its own, as its blocks take `block` times its memory. Limits:
block = 1 is w^2 (damp + mean g^2) / 2, the optimal brain damage; a fact told with certainty has no
gradient, and lengths alone are left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from lacuna.costs import REGION, Workload
from lacuna.data.tokens import Encoded, collate
from lacuna.errors import UserError
from lacuna.localize.base import LOCALIZERS, Localizer, LocalizerConfig, Scores, at_least_one
from lacuna.localize.evidence import Evidence, evenly, taken, weight_gradients
from lacuna.model.forward import answers
from lacuna.model.value import value_modules
from lacuna.model_types import PreTrainedModel
from lacuna.train import mean_nll


@LOCALIZERS.register("obs")
class OBS(Localizer):
    """Weights that nothing beside them can replace."""

    surveyed: ClassVar[bool] = False

    @dataclass(frozen=True, kw_only=True)
    class Config(LocalizerConfig):
        """Defaults of the public code."""

        block: int = 50
        """Weights of a block (at least 1)."""
        damping: float = 1e-7
        """Added to the Fisher's diagonal (above 0)."""
        examples: int = 256
        """Number of forget texts whose gradients are read (at least 1)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            at_least_one("obs.block", self.block)
            at_least_one("obs.examples", self.examples)
            if not 0 < self.damping < float("inf"):
                raise UserError(f"obs: damping={self.damping}: must be finite and above 0")

    config: Config

    def scores(self, evidence: Evidence) -> Scores:
        """Mean of the weights' scores."""
        return {name: score.mean(dim=0) for name, score in self.weight_scores(evidence).items()}

    def weight_scores(self, evidence: Evidence) -> Scores:
        """w^2 over twice the inverse Fisher's diagonal."""
        texts, score = evenly(evidence.forget, self.config.examples), {}
        for name, module in value_modules(evidence.model).items():
            each = partial(_gradient, evidence.model, module)
            inverse = self._inverse(texts, each, module.weight.numel())
            weight = module.weight.detach().double()
            score[name] = (weight.square() / (2 * inverse.view_as(weight))).cpu()
        return score

    def _inverse(self, texts: Sequence[Encoded], each: "partial[Tensor]", size: int) -> Tensor:
        """(size,) diagonal of the inverse Fisher, in blocks, float64."""
        block = self.config.block
        total: Tensor | None = None
        for text in texts:
            flat = torch.nn.functional.pad(each(text), (0, -size % block)).view(-1, block)
            outer = flat[:, :, None] * flat[:, None, :]
            total = outer if total is None else total + outer
        assert total is not None
        total /= len(texts)
        total.diagonal(dim1=1, dim2=2).add_(self.config.damping)
        inverse: Tensor = torch.linalg.inv(total).diagonal(dim1=1, dim2=2).flatten()[:size]
        return inverse

    def work(self, load: Workload) -> float:
        """A gradient of each text for each layer."""
        return REGION * load.layers * load.forget.some(self.config.examples)


def _gradient(model: PreTrainedModel, module: nn.Linear, text: Encoded) -> Tensor:
    """Flat gradient of a text's token-mean NLL in the module's weight, float64."""
    with weight_gradients({"": module}):
        mean_nll(answers(model, collate([text], [0]).to(model.device))).backward()
        return taken(module.weight).double().flatten()
