"""Block randomisation against brute force, its floor, its size, and beyond enumeration."""

from itertools import product
from math import erf

import numpy as np
import pytest

from lacuna.errors import UserError
from lacuna.significance import block_randomisation, sign_flip
from lacuna.significance.blocks import Alternative, floor

ALTERNATIVES: tuple[Alternative, ...] = ("two-sided", "greater", "less")


def brute_force(values: np.ndarray, alternative: Alternative) -> float:
    n, regions = values.shape

    def statistic(chosen: tuple[int, ...]) -> float:
        return sum(row[j] - np.delete(row, j).mean() for row, j in zip(values, chosen, strict=True))

    observed = statistic((0,) * n)
    found = np.array([statistic(chosen) for chosen in product(range(regions), repeat=n)])
    extreme = {
        "two-sided": np.abs(found) >= abs(observed) - 1e-9,
        "greater": found >= observed - 1e-9,
        "less": found <= observed + 1e-9,
    }
    return float(extreme[alternative].mean())


def test_one_seed_with_three_random_regions_by_hand() -> None:
    # True 4 against 1, 2, 3: as the true one, 4 gives 4 - 2 = 2, 1 gives -2, 2 gives -2/3, 3 2/3.
    values = [[4.0, 1.0, 2.0, 3.0]]
    found = block_randomisation(values)
    assert (found.difference, found.p, found.floor) == (2.0, 0.5, 0.25)
    assert block_randomisation(values, "greater").p == 0.25
    assert block_randomisation(values, "less").p == 1.0
    assert (found.n, found.regions, found.exact) == (1, 3, True)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize(("n", "regions"), [(1, 2), (4, 2), (3, 4), (5, 3)])
def test_it_counts_all_labellings(n: int, regions: int, alternative: Alternative) -> None:
    values = np.random.default_rng(n * regions).normal(0, 1, (n, regions))
    assert block_randomisation(values, alternative).p == pytest.approx(
        brute_force(values, alternative)
    )
    rounded = np.round(values)  # with ties
    assert block_randomisation(rounded, alternative).p == pytest.approx(
        brute_force(rounded, alternative)
    )


def test_with_one_random_region_it_is_the_sign_flip_test() -> None:
    values = np.random.default_rng(5).normal(0.3, 1, (9, 2))
    test = sign_flip(values[:, 0] - values[:, 1])
    found = block_randomisation(values)
    assert (found.p, found.floor) == (pytest.approx(test.p), test.p_min)


@pytest.mark.parametrize(
    ("n", "k", "least"), [(4, 1, 1 / 8), (4, 3, 1 / 256), (6, 3, 1 / 4096), (8, 3, 1 / 65536)]
)
def test_its_floor_is_reached_by_the_clearest_case(n: int, k: int, least: float) -> None:
    values = np.zeros((n, k + 1))
    values[:, 0] = 1.0
    found = block_randomisation(values)
    assert (found.p, found.floor) == (least, least)
    assert floor(n, 1, "greater") == 2.0**-n


def test_equal_values_give_p_of_one() -> None:
    for alternative in ALTERNATIVES:
        assert block_randomisation(np.full((4, 3), 0.7), alternative).p == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_orders_do_not_matter_nor_do_a_seeds_level_and_a_common_scale(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.normal(0, 1, (5, 4))
    values[:, 0] += 0.5
    p = block_randomisation(values).p
    others = generator.permuted(values[:, 1:], axis=1)
    mixed = np.concatenate([values[:, :1], others], axis=1)[generator.permutation(5)]
    assert block_randomisation(mixed).p == pytest.approx(p)
    moved = -2 * values + generator.normal(0, 5, (5, 1))
    assert block_randomisation(moved).p == pytest.approx(p)


def test_a_place_that_does_not_matter_is_rejected_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    p = [block_randomisation(generator.exponential(1, (4, 4))).p for _ in range(2000)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.015)


def test_twenty_seeds_are_counted_and_more_are_drawn() -> None:
    generator = np.random.default_rng(2)
    values = generator.normal(0, 1, (21, 4))
    values[:, 0] += 0.3
    exact = block_randomisation(values[:16])
    assert exact.exact
    with pytest.raises(UserError, match="pass a generator"):
        block_randomisation(values)
    first, second = (
        block_randomisation(values, generator=np.random.default_rng(3), rounds=20_000)
        for _ in range(2)
    )
    assert first == second
    assert not first.exact
    far = np.concatenate([np.ones((21, 1)), np.zeros((21, 3))], axis=1)
    drawn = block_randomisation(far, generator=generator, rounds=999)
    assert drawn.p == 1 / 1000  # the observed labelling counts: never 0
    # The normal approximation of the randomisation distribution.
    part = (values * 4 - values.sum(axis=1, keepdims=True)) / 3
    z = abs(part[:, 0].sum()) / np.sqrt((part**2).mean(axis=1).sum())
    assert first.p == pytest.approx(1 - erf(z / 2**0.5), abs=0.02)


def test_what_is_no_table_of_regions_is_refused() -> None:
    with pytest.raises(UserError, match=r"shape \(3, 1\)"):
        block_randomisation(np.zeros((3, 1)))
    with pytest.raises(UserError, match="not finite"):
        block_randomisation([[1.0, float("nan")]])
