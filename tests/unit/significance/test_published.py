"""What the papers' own tests can and cannot say."""

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


@pytest.mark.parametrize("num_alphas", [11, 21, 51])
def test_the_pool_split_cannot_reject_where_utilities_are_alike(num_alphas: int) -> None:
    mu, fq = np.linspace(0.62, 0.5, num_alphas), np.linspace(-20, -10, num_alphas)
    for gap in (1.0, 10.0, 1000.0):
        p = pool_split(
            mu, fq, mu, fq + gap, start=0.62, rounds=2000, generator=np.random.default_rng(0)
        )
        assert 0.16 < p < 0.27


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
