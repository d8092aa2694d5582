"""Doses of the target region: exact shares, nested, between scenario `random` and the oracle."""

from dataclasses import replace
from itertools import pairwise

import pytest
from support.localizing import evidence, region
from support.tiny import tiny_model, tiny_region

from lacuna.errors import UserError
from lacuna.localize import Evidence, localize
from lacuna.localize.localizers.dose import DOSES, Dose
from lacuna.model import layout
from lacuna.region import Region, WeightRegion, draw_masks, draw_partly, draw_weights_outside
from lacuna.region import scored_shapes as scored


def regions(seen: Evidence) -> list[Region]:
    """By rising dose, from the region of scenario random to the target."""
    assert seen.target is not None
    names = ["complement", *sorted(DOSES), "oracle"]
    return [region(name, seen, len(seen.target)) for name in names]


def test_a_dose_holds_its_share_of_the_target_and_doses_are_nested() -> None:
    seen = evidence()
    assert seen.target is not None
    found, target, size = regions(seen), seen.target, len(seen.target)
    assert {len(one) for one in found} == {size}
    held = [len(one & target) for one in found]
    assert held == [round(share * size) for share in (0, 0.25, 0.5, 0.75, 1)]
    for smaller, larger in pairwise(found):
        assert not len((smaller & target) - larger), "what is inside stays"
        assert not len((larger - target) - smaller), "what is outside was there before"
    other = regions(replace(seen, seed=4))
    assert len((found[2] & target) & (other[2] & target)) < held[2], "the seed decides"


@pytest.mark.parametrize(("share", "limit"), [(0.0, "complement"), (1.0, "oracle")])
def test_its_limits_are_the_random_region_and_the_target(share: float, limit: str) -> None:
    class Limit(Dose):
        """At the end of the range."""

    Limit.share = share
    seen = evidence()
    assert seen.target is not None
    size = len(seen.target)
    found = localize(seen, [("limit", Limit(Limit.Config()))], size)["limit"].region
    assert (found.flat() == region(limit, seen, size).flat()).all()


def test_a_dose_without_a_target_or_room_is_refused() -> None:
    with pytest.raises(UserError, match="needs a target region"):
        region("dose50", evidence(target=None), 5)
    model = tiny_model()
    with pytest.raises(UserError, match="no room for .* use at most 0.5"):
        region("dose25", evidence(model=model, target=tiny_region(model, 0.6)), 5)


def test_doses_of_single_weights_hold_their_share_of_every_tensor() -> None:
    shape = layout(tiny_model())
    masks = draw_masks(shape.architecture, scored(shape), 4, 0.1, seed=0)
    target, free = masks.union([0, 1]), masks.union(range(4)).complement()
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    found = [draw_partly(target, free, share, inside=5, outside=6) for share in shares]

    def sizes(one: WeightRegion) -> dict[str, int]:
        return one.by_tensor()

    whole = sizes(target)
    for share, one in zip(shares, found, strict=True):
        assert sizes(one) == whole
        assert sizes(one & target) == {name: round(share * n) for name, n in whole.items()}
    assert not any(len((a & target) - b) + len((b - target) - a) for a, b in pairwise(found))
    assert sizes(found[0] & draw_weights_outside(target, free, 6)) == whole
    assert sizes(found[-1] & target) == whole
