"""Helpers of the localizers that are controls: the target region, and uniform noise."""

import torch
from torch import Tensor

from lacuna.errors import UserError
from lacuna.localize.base import Scores
from lacuna.localize.evidence import Evidence
from lacuna.region import Region


def target(evidence: Evidence) -> Region:
    """Where the facts were planted; raises `UserError` where they were learned everywhere."""
    if evidence.target is None:
        raise UserError("this scenario needs a target region: facts were injected everywhere here")
    return evidence.target


def noise(evidence: Evidence, purpose: str) -> Tensor:
    """A uniform number per value vector, all modules one after the other; -1 for those taken."""
    score = evidence.noise(purpose, (evidence.layout.total,))
    if evidence.taken:
        score[torch.cat([evidence.taken[name] for name in evidence.layout.shapes])] = -1
    return score


def by_module(evidence: Evidence, flat: Tensor) -> Scores:
    """Scores of all value vectors, cut into those of each module."""
    widths = [width for _, width in evidence.layout.shapes.values()]
    return dict(zip(evidence.layout.shapes, flat.split(widths), strict=True))
