"""Regions of single weights of the MLPs' output matrices, by score (Lee et al. 2025, table 5).

Which matrices the paper ranked is not said; these are the ones whose columns are value vectors.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lacuna.errors import UserError
from lacuna.localize.base import Localizer, require_room
from lacuna.localize.evidence import Evidence
from lacuna.region import WeightRegion
from lacuna.region.bits import pack


def localize_weights(
    evidence: Evidence, localizers: Sequence[tuple[str, Localizer]], share: float, region: int = 1
) -> dict[str, WeightRegion]:
    """The best `share` of all weights of the output matrices, by each localizer.

    `region` says which of a seed's random regions, as in `localize`. Raises `UserError` for a
    localizer without scores of single weights, a score that is not finite, or more random regions
    than fit beside each other.
    """
    found = {}
    for name, localizer in localizers:
        if not localizer.scores_weights():
            raise UserError(f"localizer {name!r} scores whole value vectors, not single weights")
        seen = evidence.told(localizer.privileges)
        chosen = _chosen(seen, localizer, share)
        for _ in range(1, region):
            seen = seen.after(chosen)
            chosen = _chosen(seen, localizer, share)
        found[name] = WeightRegion(
            evidence.layout.architecture,
            {f"{module}.weight": tuple(mask.shape) for module, mask in chosen.items()},
            {f"{module}.weight": pack(mask.reshape(-1)) for module, mask in chosen.items()},
            {"localizer": name, "share": repr(share)},
        )
    return found


def _chosen(seen: Evidence, localizer: Localizer, share: float) -> dict[str, Tensor]:
    """Module name -> (d_model, d_ff) boolean."""
    scores = localizer.weight_scores(seen)
    flat = top_weights(scores, share)
    chosen = {name: flat[name].reshape(score.shape) for name, score in scores.items()}
    require_room(seen, scores, chosen)
    return chosen


def top_weights(scores: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Which weights are among the highest `share` of all; flat booleans by name.

    Equal scores fall to the earlier weight. Raises `UserError` unless every score is finite and at
    least one weight is chosen.
    """
    flat = torch.cat([score.reshape(-1) for score in scores.values()])
    count = round(share * len(flat))
    if not 0 < count <= len(flat):
        raise UserError(f"region.ratio={share}: must select at least one weight, and at most all")
    if not torch.isfinite(flat).all():
        raise UserError("localization scores are not finite: the model has diverged")
    limit = flat.kthvalue(len(flat) - count + 1).values
    chosen = flat > limit
    equal = (flat == limit).nonzero()[:, 0]
    chosen[equal[: count - int(chosen.sum())]] = True
    parts = chosen.split([score.numel() for score in scores.values()])
    return dict(zip(scores, parts, strict=True))
