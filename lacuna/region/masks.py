"""Which weights a mask may hold, and ways to draw masks over them.

LACUNA draws one uniform number a weight and cuts it into bands, one a group (`create_mask.py`): the
masks are disjoint and equally dense in every tensor, and their sizes are binomial.
"""

import math
import re
from collections.abc import Collection, Mapping
from typing import Literal

import torch
from torch import Tensor

from lacuna.errors import UserError
from lacuna.model.value import OUTPUT_NAMES, Layout
from lacuna.region import bits as packed
from lacuna.region.weights import GroupMasks, Shapes, WeightRegion
from lacuna.seeds import numbered, torch_generator

Unit = Literal["weight", "vector"]

_LAYER = re.compile(r"\.(\d+)\.")
_IN_ROWS = ("gate_proj", "up_proj", "dense_h_to_4h", "fc1", "fc_in", "w1", "w3")
"""Leaf names of matrices whose row i belongs to neuron i; its column is in `OUTPUT_NAMES`."""


def scored_shapes(layout: Layout, skip: Collection[int] = ()) -> dict[str, tuple[int, ...]]:
    """The matrices inside the decoder's layers, but for those in `skip` (negative: from the end).

    Embeddings, output head, norms and biases are never scored. Raises `UserError` for a layer that
    there is not, or where none is left.
    """
    layer_of = {
        name: int(found[1])
        for name, shape in layout.weights.items()
        if len(shape) == 2 and (found := _LAYER.search(name))
    }
    count = 1 + max(layer_of.values(), default=-1)
    for layer in skip:
        if not -count <= layer < count:
            raise UserError(f"skip_layers={layer}: {layout.architecture} has {count} layers")
    skipped = {layer % count for layer in skip}
    shapes = {n: layout.weights[n] for n, layer in layer_of.items() if layer not in skipped}
    if not shapes:
        raise UserError(f"no weight is left for masks: {count} layers, {len(skipped)} skipped")
    return shapes


def draw_masks(
    architecture: str,
    shapes: Shapes,
    groups: int,
    share: float,
    seed: int,
    unit: Unit = "weight",
    head_size: int | None = None,
) -> GroupMasks:
    """`groups` disjoint random masks, each holding about `share` of the scored weights.

    `weight` draws single weights (LACUNA's default). `vector` draws whole neurons (rows of the
    input matrices, the column of the output matrix) and whole attention heads (`head_size` rows of
    q, k and v, columns of o; under grouped queries a key head with its queries). Raises `UserError`
    where the masks would not fit beside each other.
    """
    if groups < 1 or not 0 < share * groups <= 1:
        raise UserError(
            f"{groups} masks of {share:.4g} of the weights each: they are disjoint, so at least 1 "
            f"mask and at most 1 in all"
        )
    bits = {}
    for name, shape in shapes.items():
        if unit == "weight":
            noise = torch.rand(math.prod(shape), generator=torch_generator(seed, "masks", name))
            band = _bands(noise, share)
        else:
            band = _vector_bands(name, shape, shapes, share, seed, head_size)
        bits[name] = torch.stack([packed.pack(band == group) for group in range(groups)])
    origin = {"seed": str(seed), "share": repr(share), "unit": unit}
    return GroupMasks(architecture, dict(shapes), bits, groups, origin)


def _bands(noise: Tensor, share: float) -> Tensor:
    """Group of each draw; numbers from the number of groups on mean none."""
    return (noise / share).clamp(max=127).to(torch.int8)


def _vector_bands(
    name: str, shape: tuple[int, ...], shapes: Shapes, share: float, seed: int, size: int | None
) -> Tensor:
    """Group of every weight (flat), equal along its neuron's or head's row or column."""
    block, leaf = name.removesuffix(".weight").rsplit(".", 1)
    by_row = leaf in _IN_ROWS or leaf in ("q_proj", "k_proj", "v_proj")
    if not by_row and leaf not in (*OUTPUT_NAMES, "o_proj"):
        raise UserError(f"unit=vector: no neuron or head of {name} is known: use unit=weight")
    long = shape[0] if by_row else shape[1]
    units = long
    if leaf in ("q_proj", "k_proj", "v_proj", "o_proj"):
        if size is None:
            raise UserError(f"unit=vector: {name} needs head_size, the rows of one head")
        units = shapes[f"{block}.k_proj.weight"][0] // size
    noise = torch.rand(units, generator=torch_generator(seed, "masks", block))
    band = _bands(noise, share).repeat_interleave(long // units)
    return (band[:, None] if by_row else band[None, :]).expand(shape).reshape(-1)


def draw_weights_outside(
    region: WeightRegion, free: WeightRegion, seed: int, number: int = 1
) -> WeightRegion:
    """As many weights of every tensor as `region` has, drawn uniformly from `free`.

    The random control: same size, same place in the model, other weights. `number` 2, 3, ... gives
    the seed's further ones, each clear of those before. Raises `UserError` where a tensor has too
    few free weights.
    """
    for earlier in range(1, number):
        free -= _drawn(region.by_tensor(), free, seed, earlier)
    return _drawn(region.by_tensor(), free, seed, number)


def draw_partly(
    region: WeightRegion, free: WeightRegion, share: float, inside: int, outside: int
) -> WeightRegion:
    """As many weights of every tensor as `region` has, of which `share` are its own.

    The others are the first that `draw_weights_outside` would draw from `free` with the seed
    `outside`; the own ones are a prefix of an order drawn with the seed `inside`, so that larger
    shares hold those of smaller ones. Raises `UserError` where a tensor has too few free weights.
    """
    counts = region.by_tensor()
    own = {name: round(share * count) for name, count in counts.items()}
    others = {name: count - own[name] for name, count in counts.items()}
    kept = _drawn(own, region, inside, 1)
    found = kept | _drawn(others, free, outside, 1)
    origin = {"seed": str(outside), "drawn": "dose", "share": repr(share)}
    return WeightRegion(region.architecture, region.shapes, found.bits, origin)


def _drawn(wanted: Mapping[str, int], free: WeightRegion, seed: int, number: int) -> WeightRegion:
    """So many weights of every tensor, uniformly from `free`."""
    bits = {}
    for name, count in wanted.items():
        places, size = free.indices(name), math.prod(free.shapes[name])
        if len(places) < count:
            fewer = f"regions={number - 1}, or " if number > 1 else ""
            raise UserError(
                f"{name} has {len(places)} free weights, a random region needs {count}: use "
                f"{fewer}smaller or fewer masks"
            )
        labels = ("outside", name, *numbered(number))
        order = torch.randperm(len(places), generator=torch_generator(seed, *labels))
        chosen = torch.zeros(size, dtype=torch.bool)
        chosen[places[order[:count]]] = True
        bits[name] = packed.pack(chosen)
    origin = {"seed": str(seed), "drawn": "random"}
    return WeightRegion(free.architecture, free.shapes, bits, origin)
