"""How well one region finds another."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from lacuna.region.base import Region
from lacuna.region.weights import WeightRegion, element_mask
from lacuna.results import LayerOverlap, Overlap


class _Count(NamedTuple):
    both: int
    chosen: int
    true: int


def overlap(found: Region | WeightRegion, truth: Region | WeightRegion) -> Overlap:
    """Precision = share of what was found that is true; recall = share of the truth found.

    Value vectors against value vectors count vectors. Where the truth is single weights, weights
    count: of a vector all, as far as the truth scores their tensors. Single weights against true
    vectors are not compared.
    """
    if isinstance(truth, WeightRegion):
        counts = _by_weight(found, truth)
    else:
        assert isinstance(found, Region), "weights can be compared with weights only"
        counts = _by_vector(found, truth)
    rows = [
        LayerOverlap(
            layer=layer,
            precision=_ratio(count.both, count.chosen),
            recall=_ratio(count.both, count.true),
        )
        for layer, count in counts.items()
    ]
    whole = _Count(*(sum(column) for column in zip(*counts.values(), strict=True)))
    return Overlap(
        precision=_ratio(whole.both, whole.chosen),
        recall=_ratio(whole.both, whole.true),
        by_layer=rows,
    )


def _by_vector(found: Region, truth: Region) -> dict[int, _Count]:
    both, chosen, true = (found & truth).by_layer(), found.by_layer(), truth.by_layer()
    return {i: _Count(both[n], chosen[n], true[n]) for i, n in enumerate(both)}


def _by_weight(found: Region | WeightRegion, truth: WeightRegion) -> dict[int, _Count]:
    counts: dict[int, _Count] = {}
    for layer, count in _tensors(found, truth):
        held = counts.get(layer, _Count(0, 0, 0))
        counts[layer] = _Count(*(a + b for a, b in zip(held, count, strict=True)))
    return dict(sorted(counts.items()))


def _tensors(found: Region | WeightRegion, truth: WeightRegion) -> Iterator[tuple[int, _Count]]:
    for name, shape in truth.shapes.items():
        true, chosen = truth.mask(name), element_mask(found, name, shape)
        digits = re.search(r"\.(\d+)\.", name)
        layer = int(digits[1]) if digits else 0
        if chosen is None:
            yield layer, _Count(0, 0, int(true.sum()))
        else:
            yield layer, _Count(int((chosen & true).sum()), int(chosen.sum()), int(true.sum()))


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
