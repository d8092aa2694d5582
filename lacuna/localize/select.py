"""From scores to a region: normalise, then take the best of the model or of each layer."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lacuna.region import Scope

SCOPES: tuple[Scope, ...] = ("global", "layer", "matched")
_BY_LAYER: Mapping[str, Callable[[Tensor], Tensor]] = {
    "none": lambda score: score,
    "sum": lambda score: score / _above_zero(score.abs().sum()),
    "max": lambda score: score / _above_zero(score.abs().max()),
    "zscore": lambda score: (score - score.mean()) / _above_zero(score.std(unbiased=False)),
}
NORMALISATIONS = (*_BY_LAYER, "norm")


def normalised(
    scores: Mapping[str, Tensor], how: str, norms: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Scores made comparable between layers, or (`norm`) between long and short vectors.

    scores, norms (lengths of the value vectors): module name -> (d_ff,). A layer whose scores are
    all zero stays zero.
    """
    if how == "norm":
        return {name: score / _above_zero(norms[name]) for name, score in scores.items()}
    return {name: _BY_LAYER[how](score) for name, score in scores.items()}


def _above_zero(value: Tensor) -> Tensor:
    return value.clamp_min(torch.finfo(value.dtype).tiny)
