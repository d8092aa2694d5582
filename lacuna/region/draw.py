"""Ways to choose a region: at random, outside another, or by score."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from lacuna.errors import UserError
from lacuna.model.value import Layout
from lacuna.region.base import Region
from lacuna.seeds import torch_generator

Scope = Literal["global", "layer", "matched"]


def budget(layout: Layout, ratio: float) -> int:
    """Number of vectors in `ratio` of the model; raises `UserError` unless it is at least one."""
    if not 0 < ratio <= 1:
        raise UserError(f"region.ratio={ratio}: must be above 0 and at most 1")
    count = round(ratio * layout.total)
    if count == 0:
        raise UserError(f"region.ratio={ratio} selects none of {layout.total} vectors: raise it")
    return count


def draw(layout: Layout, ratio: float, seed: int) -> Region:
    """A uniform sample of `ratio` of the whole model's value vectors (Lee et al. 2025, 4)."""
    everything = torch.ones(layout.total, dtype=torch.bool)
    return _sample(layout, everything, budget(layout, ratio), seed, "target")


def draw_outside(
    region: Region, seed: int, like: Literal["uniform", "layers"] = "uniform"
) -> Region:
    """As many vectors as `region` has, from its complement (Lee et al. 2025, 4: Random).

    `layers` keeps the region's number of vectors in every layer. Raises `UserError` if the
    complement is too small.
    """
    outside = ~region.flat()
    if int(outside.sum()) < len(region):
        raise UserError(
            f"region.ratio={region.fraction:.3g} leaves no room for as large a region outside it: "
            f"use at most 0.5"
        )
    if like == "uniform":
        return _sample(region.layout, outside, len(region), seed, "random")
    for name, count in region.by_layer().items():
        width = region.layout.shapes[name][1]
        if 2 * count > width:
            raise UserError(
                f"region has {count} of {width} vectors of {name}, over one half: no room for as "
                f"many others in that layer, draw uniformly or use a smaller region"
            )
    noise = torch.rand(region.layout.total, generator=torch_generator(seed, "region", "matched"))
    noise[~outside] = -1
    scores = _per_module(region.layout, noise)
    return top(region.layout, scores, len(region), scope="matched", like=region)


def _sample(layout: Layout, allowed: Tensor, count: int, seed: int, purpose: str) -> Region:
    order = torch.randperm(layout.total, generator=torch_generator(seed, "region", purpose))
    flat = torch.zeros(layout.total, dtype=torch.bool)
    flat[order[allowed[order]][:count]] = True
    return Region.from_flat(layout, flat, {"seed": str(seed), "drawn": purpose})


def _per_module(layout: Layout, flat: Tensor) -> dict[str, Tensor]:
    widths = [width for _, width in layout.shapes.values()]
    return dict(zip(layout.shapes, flat.split(widths), strict=True))


def top(
    layout: Layout,
    scores: Mapping[str, Tensor],
    count: int,
    *,
    scope: Scope = "global",
    like: Region | None = None,
) -> Region:
    """The `count` highest-scoring vectors.

    scores: module name -> (d_ff,). `global` ranks over the whole model, `layer` takes an equal
    share of each layer, `matched` shares in proportion to those of the region `like`. Ties fall to
    the lower index. Raises `UserError` on a non-finite score.
    """
    for name in layout.shapes:
        if not torch.isfinite(scores[name]).all():
            raise UserError(f"localization scores of {name} are not finite: the model has diverged")
    if scope == "global":
        flat = torch.cat([scores[name] for name in layout.shapes])
        return Region.from_flat(layout, _highest(flat, count))
    if scope == "matched":
        assert like is not None, "scope='matched' needs the region to match"
        counts = _shares(like.by_layer(), count)
    else:
        counts = _shares({name: width for name, (_, width) in layout.shapes.items()}, count)
    for name, (_, width) in layout.shapes.items():
        if counts[name] > width:
            raise UserError(
                f"a region of {count} vectors would need {counts[name]} of the {width} of {name}: "
                f"use a smaller region, or scope=global"
            )
    masks = [_highest(scores[name], counts[name]) for name in layout.shapes]
    return Region.from_flat(layout, torch.cat(masks))


def _highest(scores: Tensor, count: int) -> Tensor:
    chosen = torch.zeros(len(scores), dtype=torch.bool)
    chosen[torch.sort(scores, descending=True, stable=True).indices[:count].cpu()] = True
    return chosen


def _shares(weights: Mapping[str, int], count: int) -> dict[str, int]:
    """`count` split in proportion to `weights`, by largest remainder; ties fall to the first."""
    total = sum(weights.values())
    shares = {name: count * weight // total for name, weight in weights.items()}
    behind = sorted(weights, key=lambda name: -(count * weights[name] % total))
    for name in behind[: count - sum(shares.values())]:
        shares[name] += 1
    return shares
