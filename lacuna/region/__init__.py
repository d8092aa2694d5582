"""Regions of value vectors: draw, select by score, combine, compare, keep."""

from lacuna.region.base import Region, load_region
from lacuna.region.draw import Scope, budget, draw, draw_outside, top
from lacuna.region.overlap import LayerOverlap, Overlap, overlap
from lacuna.region.ranking import Ranking, ranking

__all__ = [
    "LayerOverlap",
    "Overlap",
    "Ranking",
    "Region",
    "Scope",
    "budget",
    "draw",
    "draw_outside",
    "load_region",
    "overlap",
    "ranking",
    "top",
]
