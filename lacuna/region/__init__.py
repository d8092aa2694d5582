"""Regions of value vectors or single weights: draw, select, combine, compare, keep."""

from lacuna.region.base import Region, load_vectors
from lacuna.region.draw import Scope, budget, draw, draw_outside, top
from lacuna.region.files import FORGET_GROUPS, load_masks, load_region
from lacuna.region.masks import (
    Unit,
    draw_masks,
    draw_partly,
    draw_weights_outside,
    scored_shapes,
)
from lacuna.region.overlap import overlap
from lacuna.region.ranking import ranking
from lacuna.region.weights import GroupMasks, WeightRegion, element_mask

__all__ = [
    "FORGET_GROUPS",
    "GroupMasks",
    "Region",
    "Scope",
    "Unit",
    "WeightRegion",
    "budget",
    "draw",
    "draw_masks",
    "draw_outside",
    "draw_partly",
    "draw_weights_outside",
    "element_mask",
    "load_masks",
    "load_region",
    "load_vectors",
    "overlap",
    "ranking",
    "scored_shapes",
    "top",
]
