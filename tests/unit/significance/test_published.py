"""What the papers' own tests can and cannot say."""

import math

import numpy as np
import pytest

from lacuna.evaluate.curve_summaries import aues
from lacuna.significance.published import aues_permutation, pool_split


def test_the_aues_permutation_answers_for_the_sign_and_not_for_the_size() -> None:
    ones, alphas = np.ones(21), np.linspace(0, 1, 21)
    # AUES differs by .138, and every swap keeps the difference's size.
    assert aues(0.975 * alphas, ones) - aues(0.837 * alphas, ones) == pytest.approx(0.138)
    assert aues_permutation(0.975 * alphas, ones, 0.837 * alphas, ones) == 1.0
    # AUES differs by .0003, with one sign throughout: 2 of the 2^20 swaps that keep alpha = 0.
    fs, rs = 0.9 * alphas, 1 - 0.3 * alphas
    assert aues(fs, rs) - aues(fs, rs - 0.001 * alphas) == pytest.approx(0.00045, rel=0.01)
    assert aues_permutation(fs, rs, fs, rs - 0.001 * alphas) == pytest.approx(2 / 2**20)


def floor(in_a: int, in_b: int, num_alphas: int) -> float:
    """Share of splits that leave so many points of a, and of b, in the groups they are in."""
    left = 2 * num_alphas - in_a - in_b
    return 2 * math.comb(left, num_alphas - in_a) / math.comb(2 * num_alphas, num_alphas)


@pytest.mark.parametrize("num_alphas", [11, 21, 51])
def test_the_pool_split_cannot_reject_where_utilities_alternate(num_alphas: int) -> None:
    mu, fq = np.linspace(0.62, 0.5, num_alphas), np.linspace(-20, -10, num_alphas)
    least = floor(2, 2, num_alphas)
    assert 0.126 < least < 0.143
    for gap in (1.0, 10.0, 1000.0):
        p = pool_split(
            mu, fq, mu - 1e-4, fq + gap, start=0.62, rounds=2000, generator=np.random.default_rng(0)
        )
        assert least - 0.03 < p < 0.27


@pytest.mark.parametrize(
    ("moved", "in_b", "least"),
    [({}, 2, 0.131), ({7: 0.5885}, 3, 0.066), ({4: 0.5892, 7: 0.5885}, 4, 0.032)],
)
def test_the_pool_splits_floor_halves_with_every_further_point_around_the_threshold(
    moved: dict[int, float], in_b: int, least: float
) -> None:
    # The threshold is .589; a's neighbours of it are .590 and .584, b's .5899 and .5886.
    mu_a, fq = np.linspace(0.62, 0.5, 21), np.linspace(-20, -10, 21)
    mu_b = mu_a - 1e-4
    mu_b[6] = 0.5886
    for place, utility in moved.items():
        mu_b[place] = utility
    assert floor(2, in_b, 21) == pytest.approx(least, abs=5e-4)
    assert ((mu_b < 0.5901) & (mu_b > 0.5839)).sum() == in_b
    for gap in (10.0, 1000.0):
        p = pool_split(
            mu_a, fq, mu_b, fq + gap, start=0.62, rounds=4000, generator=np.random.default_rng(1)
        )
        assert p > least - 0.01


def test_noise_in_utility_lowers_the_pool_splits_floor_and_no_gap_does() -> None:
    generator = np.random.default_rng(0)
    found = []
    for _ in range(150):
        mu = np.linspace(0.62, 0.5, 21) + generator.normal(0, 0.002, (2, 21))
        fq = np.linspace(-20, -10, 21) + generator.normal(0, 0.3, (2, 21))
        given = (mu[0], fq[0], mu[1], fq[1] + 1000)
        found.append(pool_split(*given, start=0.62, rounds=1000, generator=generator))
    assert min(found) < 0.05
    assert 0.13 < np.median(found) < 0.25
    assert np.mean(np.array(found) < 0.05) < 0.1


@pytest.mark.parametrize("seed", range(6))
def test_a_split_is_read_between_its_points_sorted_by_utility(seed: int) -> None:
    """The same draws, point by point, through `numpy.interp`."""
    generator = np.random.default_rng(seed)
    mu = np.linspace(0.62, 0.5 + 0.12 * (seed % 2), 21) + generator.normal(0, 0.01, (2, 21))
    fq = np.linspace(-20, -10, 21) + generator.normal(0, 0.5, (2, 21))
    order = np.lexsort((fq.reshape(-1), mu.reshape(-1)))
    pool_mu, pool_fq = mu.reshape(-1)[order], fq.reshape(-1)[order]
    target, draws = 0.95 * 0.62, np.random.default_rng(9)

    def gap(held: np.ndarray) -> float:
        one, two = (np.interp(target, pool_mu[part], pool_fq[part]) for part in (held, ~held))
        return abs(float(one - two))

    in_a = np.arange(42) < 21
    observed, reached = gap(in_a[order]), 1
    for _ in range(300):
        reached += gap(draws.permutation(in_a)) >= observed * (1 - 1e-12)
    p = pool_split(
        mu[0], fq[0], mu[1], fq[1], start=0.62, rounds=300, generator=np.random.default_rng(9)
    )
    assert p == reached / 301


def test_equal_curves_give_a_pool_split_of_one() -> None:
    mu, fq = np.linspace(0.62, 0.5, 21), np.linspace(-20, -10, 21)
    p = pool_split(mu, fq, mu, fq, start=0.62, rounds=50, generator=np.random.default_rng(0))
    assert p == 1.0
