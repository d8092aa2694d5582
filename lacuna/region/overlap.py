"""How well one region finds another."""

from typing import TypedDict

from lacuna.region.base import Region


class LayerOverlap(TypedDict):
    """Precision and recall within one MLP (None where undefined: nothing chosen, or no truth)."""

    layer: int
    precision: float | None
    recall: float | None


class Overlap(TypedDict):
    """Precision and recall of a found region against the true one, in all and per layer."""

    precision: float | None
    recall: float | None
    by_layer: list[LayerOverlap]


def overlap(found: Region, truth: Region) -> Overlap:
    """Precision = share of found vectors that are true; recall = share of true ones found."""
    both, chosen, true = (found & truth).by_layer(), found.by_layer(), truth.by_layer()
    rows = [
        LayerOverlap(
            layer=i,
            precision=_ratio(both[name], chosen[name]),
            recall=_ratio(both[name], true[name]),
        )
        for i, name in enumerate(both)
    ]
    hits = sum(both.values())
    return Overlap(
        precision=_ratio(hits, len(found)), recall=_ratio(hits, len(truth)), by_layer=rows
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
