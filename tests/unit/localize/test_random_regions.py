"""Several random regions of one seed: the first as if alone, none touching another."""

import pytest
from support.localizing import evidence

from lacuna.errors import UserError
from lacuna.localize import LOCALIZERS, Evidence, localize
from lacuna.region import Region


def drawn(name: str, seen: Evidence, count: int, number: int, **options: str) -> Region:
    method = LOCALIZERS[name](LOCALIZERS[name].Config(**options))
    return localize(seen, [(name, method)], count, number)[name].region


@pytest.mark.parametrize("name", ["complement", "random"])
def test_further_regions_keep_clear_of_the_target_and_of_those_before(name: str) -> None:
    seen = evidence()
    assert seen.target is not None
    count = len(seen.target) // 2
    regions = [drawn(name, seen, count, number) for number in (1, 2, 3)]
    assert (regions[0].flat() == drawn(name, evidence(), count, 1).flat()).all()
    assert [len(one) for one in regions] == [count] * 3
    assert len(regions[0] | regions[1] | regions[2]) == 3 * count
    if name == "complement":
        assert not any(len(one & seen.target) for one in regions)
    other = evidence(seed=4)
    assert len(drawn(name, other, count, 2) & regions[1]) < count, "the seed decides"


def test_as_many_fit_as_leave_no_vector_over_and_not_one_more() -> None:
    seen = evidence()
    assert seen.target is not None
    total, count = seen.layout.total, len(seen.target)
    fit = (total - count) // count
    assert len(drawn("complement", seen, count, fit) & seen.target) == 0
    with pytest.raises(UserError, match=f"^regions={fit + 1}: {fit} random regions? of this size"):
        drawn("complement", seen, count, fit + 1)
    with pytest.raises(UserError, match="^regions=3: 2 random regions of this size fit beside"):
        drawn("random", seen, total // 2, 3)


def test_where_each_layer_gives_its_share_a_full_layer_is_refused() -> None:
    seen = evidence()
    assert seen.target is not None
    by_layer = seen.target.by_layer()
    layers = len(by_layer)
    width = seen.layout.total // layers
    count = layers * (width // 3)
    with pytest.raises(UserError, match="fit beside each other"):
        drawn("complement", seen, count, 4, scope="layer")
