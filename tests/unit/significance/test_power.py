"""Seeds and regions for a decision: closed forms, simulation, and pilots."""

import numpy as np
import pytest
from scipy import stats

from lacuna.errors import UserError
from lacuna.significance import (
    Spread,
    needed,
    power_better,
    power_no_better,
    spread_from_pilot,
    t_interval,
)


def test_random_regions_average_out_and_the_true_one_does_not() -> None:
    spread = Spread(0.03, 0.04)
    assert spread.of_difference(1) == pytest.approx(0.05)
    assert spread.of_difference(4) == pytest.approx((0.0009 + 0.0004) ** 0.5)


def test_at_the_margin_a_false_holds_has_the_chance_of_one_side() -> None:
    spread = Spread(0.02, 0.02)
    assert power_no_better(spread, 6, 3, 0.02, true=0.02) == pytest.approx(0.025)
    assert power_better(spread, 6, 3, 0.0) == pytest.approx(0.025)
    assert power_no_better(spread, 6, 3, 0.02) == pytest.approx(power_better(spread, 6, 3, 0.02))


def test_power_is_what_a_simulation_finds() -> None:
    generator = np.random.default_rng(0)
    n, k, effect = 6, 3, 0.03
    true = effect + generator.normal(0, 0.02, (4000, n))
    random = generator.normal(0, 0.03, (4000, n, k)).mean(axis=2)
    found = [t_interval(row) or [0.0, 0.0] for row in true - random]
    share = np.mean([low > 0 for low, _ in found])
    assert power_better(Spread(0.02, 0.03), n, k, effect) == pytest.approx(share, abs=0.025)
    held = np.mean([high < 0.05 for _, high in found])
    assert power_no_better(Spread(0.02, 0.03), n, k, 0.05, effect) == pytest.approx(held, abs=0.025)


def test_a_great_number_of_seeds_gives_the_normal_power() -> None:
    # sd .1 over 64 seeds: .0125; an effect of .035 is 2.8 of them.
    found = power_better(Spread(0.1, 1e-9), 64, 1, 0.035)
    assert found == pytest.approx(stats.norm.sf(1.96 - 2.8), abs=0.015)


def test_the_fewest_seeds_for_each_number_of_regions_cheapest_first() -> None:
    spread = Spread(0.02, 0.02)
    found = needed(spread, 0.03)
    assert {need.regions for need in found} == set(range(1, 9))
    assert [need.cost for need in found] == sorted(need.cost for need in found)
    for need in found:
        assert need.power >= 0.8
        assert power_better(spread, need.seeds - 1, need.regions, 0.03) < 0.8
        assert need.cost == need.seeds * (4 + need.regions)
    by_regions = sorted(found, key=lambda need: need.regions)
    seeds = [need.seeds for need in by_regions]
    assert seeds == sorted(seeds, reverse=True)


def test_the_embedded_study_needs_two_dozen_seeds_unmatched_and_a_handful_matched() -> None:
    # sd of a seed's difference .035 against a margin of .02, and as measured matched: .0023, .005.
    unmatched = Spread(0.035 / 2**0.5, 0.035 / 2**0.5)
    matched = Spread(0.0023 / 2**0.5, 0.0023 / 2**0.5)
    assert [need.seeds for need in needed(unmatched, 0.02) if need.regions == 1] == [27]
    assert [need.seeds for need in needed(matched, 0.005) if need.regions == 1] == [4]


def test_sixty_four_seeds_may_not_do() -> None:
    assert needed(Spread(1.0, 1.0), 0.01) == []


def test_a_pilot_splits_its_spread_by_the_arm_of_two_random_regions() -> None:
    # Variance .02 of a single difference is .01 each, if all regions vary alike.
    differences = [0.1, -0.1, 0.1, -0.1, 0.0]
    alike = spread_from_pilot(differences)
    assert alike.true == alike.random == pytest.approx((0.01 / 2) ** 0.5)
    assert alike.of_difference(1) == pytest.approx(np.std(differences, ddof=1))
    # Of three random regions it is true + random / 3.
    assert spread_from_pilot(differences, 3).of_difference(3) == pytest.approx(0.1)
    apart = spread_from_pilot(differences, 1, [0.06, -0.06, 0.06, -0.06, 0.0])
    assert apart.random**2 == pytest.approx(0.0036 / 2)
    assert apart.true**2 == pytest.approx(0.01 - 0.0018)
    assert spread_from_pilot([0.01, -0.01], 1, [0.5, -0.5]).true == 0.0


def test_bad_input_is_named() -> None:
    with pytest.raises(UserError, match="margin or effect nan"):
        needed(Spread(0.1, 0.1), float("nan"))
    with pytest.raises(UserError, match="margin or effect -0.02"):
        needed(Spread(0.1, 0.1), -0.02)
    with pytest.raises(UserError, match="power 80"):
        needed(Spread(0.1, 0.1), 0.02, power=80)
    with pytest.raises(UserError, match="the pilot holds 1 differences"):
        spread_from_pilot([0.1])
    assert power_better(Spread(0.0, 0.0), 4, 1, 0.1) == 1.0
