"""Tests and intervals against brute force, closed forms and simulated truths."""

import time
from itertools import product
from typing import Any

import numpy as np
import pytest

from lacuna.errors import UserError
from lacuna.evaluate.curve_summaries import aues
from lacuna.seeds import numpy_generator
from lacuna.significance import published
from lacuna.significance.arms import Arms, Strength
from lacuna.significance.published import pool_split
from lacuna.significance.seeds import aues_interval, sign_flip, t_interval

Curves = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def curves(num_alphas: int, seed: int, gap: float = 0.0) -> Curves:
    """Two noisy forget-retain curves; b's retain strength is lower by `gap`."""
    generator = np.random.default_rng(seed)
    fs = np.linspace(0, 0.95, num_alphas) + generator.normal(0, 0.02, (2, num_alphas))
    rs = np.linspace(1, 0.4, num_alphas) + generator.normal(0, 0.02, (2, num_alphas))
    return fs[0], rs[0], fs[1], rs[1] - gap


def brute_force(fs_a: np.ndarray, rs_a: np.ndarray, fs_b: np.ndarray, rs_b: np.ndarray) -> float:
    def gap(swap: np.ndarray) -> float:
        first = aues(np.where(swap, fs_b, fs_a), np.where(swap, rs_b, rs_a))
        second = aues(np.where(swap, fs_a, fs_b), np.where(swap, rs_a, rs_b))
        return abs(float(first - second))

    observed = gap(np.zeros(len(fs_a), dtype=bool))
    swaps = [np.array(bits) for bits in product([False, True], repeat=len(fs_a))]
    return float(np.mean([gap(swap) >= observed - 1e-12 for swap in swaps]))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("gap", [0.0, 0.05, 0.3])
def test_exact_alpha_permutation_agrees_with_brute_force(seed: int, gap: float) -> None:
    given = curves(6, seed, gap)
    assert published.aues_permutation(*given) == pytest.approx(brute_force(*given), abs=1e-12)


def test_identical_curves_give_p_of_one() -> None:
    fs, rs, *_ = curves(21, 0)
    assert published.aues_permutation(fs, rs, fs, rs) == 1.0
    p = published.sampled_aues_permutation(
        fs, rs, fs, rs, rounds=50, generator=np.random.default_rng(0)
    )
    assert p == 1.0


def test_a_curve_that_is_better_everywhere_attains_the_smallest_p() -> None:
    fs, rs = np.linspace(0, 1, 8), np.linspace(1, 0.5, 8)
    assert published.aues_permutation(fs, rs, fs, rs - 0.1) == 2 / 2**8


def test_twenty_one_alphas_are_enumerated_within_a_second() -> None:
    given = curves(21, 3, 0.05)
    began = time.process_time()
    p = published.aues_permutation(*given)
    assert time.process_time() - began < 1
    sampled = published.sampled_aues_permutation(
        *given, rounds=40_000, generator=np.random.default_rng(0)
    )
    assert sampled == pytest.approx(p, abs=4 * (p * (1 - p) / 40_000) ** 0.5 + 1e-4)
    assert 0.001 < p < 0.9


def test_too_many_alphas_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="30 mixing weights is too large"):
        published.aues_permutation(*curves(30, 0))


def test_sampled_tests_repeat_with_their_generator_and_are_never_zero() -> None:
    fs, rs = np.linspace(0, 1, 21), np.linspace(1, 0.5, 21)
    far = (fs, rs, fs, rs - 0.4)
    first, second = (
        published.sampled_aues_permutation(*far, rounds=99, generator=numpy_generator(1, "p"))
        for _ in range(2)
    )
    assert first == second == 0.01


def slow_pool_split(*args: Any, start: float, rounds: int, generator: np.random.Generator) -> float:
    """The published description, point by point, with the observed split as one more round."""
    mu_a, fq_a, mu_b, fq_b = map(np.asarray, args)
    mu, fq = np.concatenate([mu_a, mu_b]), np.concatenate([fq_a, fq_b])

    def read(held: np.ndarray) -> float:
        ranks = held[np.argsort(mu[held])]
        return float(np.interp(0.95 * start, mu[ranks], fq[ranks]))

    whole = np.arange(len(mu))
    observed = abs(read(whole[: len(mu_a)]) - read(whole[len(mu_a) :]))
    reached = 1
    for _ in range(rounds):
        order = generator.permutation(len(mu))
        one, two = order[: len(mu_a)], order[len(mu_a) :]
        reached += bool(abs(read(one) - read(two)) >= observed - 1e-9)
    return reached / (rounds + 1)


def mu_fq(seed: int, gain: float) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    mu = np.linspace(0.62, 0.5, 21) + generator.normal(0, 0.002, 21)
    return mu, np.linspace(-20, -10 + gain, 21) + generator.normal(0, 0.5, 21)


@pytest.mark.parametrize("gain", [0.0, 2.0, 8.0])
def test_the_pool_split_test_follows_its_published_description(gain: float) -> None:
    args = (*mu_fq(0, 0.0), *mu_fq(1, gain))
    fast = pool_split(*args, start=0.62, rounds=2000, generator=np.random.default_rng(5))
    slow = slow_pool_split(*args, start=0.62, rounds=2000, generator=np.random.default_rng(6))
    assert fast == pytest.approx(slow, abs=4 * (0.5 / 2000) ** 0.5 * max(slow, 0.05) ** 0.5)


def test_sign_flip_is_exact_and_knows_its_smallest_p() -> None:
    same_sign = sign_flip([0.1, 0.2, 0.3, 0.4])
    assert same_sign == (pytest.approx(0.25), 2 / 16, 4, 2 / 16)
    # |sum| of +-1 +-2 +-3 reaches |1 + 2 - 3| = 0 always; of 1 - 2 + 6 = 5 in 6 of 8 patterns.
    assert sign_flip([1, 2, -3]).p == 1.0
    assert sign_flip([1, -2, 6]).p == 6 / 8
    assert sign_flip([0.7]) == (0.7, 1.0, 1, 1.0)
    assert sign_flip([]) == (None, None, 0, None)


def test_sign_flip_agrees_with_brute_force() -> None:
    deltas = np.random.default_rng(2).normal(0.3, 1, 9)
    patterns = np.array(list(product([-1, 1], repeat=9)))
    share = (np.abs(patterns @ deltas) >= abs(deltas.sum()) - 1e-12).mean()
    assert sign_flip(deltas).p == pytest.approx(share)
    with pytest.raises(UserError, match="25 seeds"):
        sign_flip(np.ones(25))


def test_t_interval_of_a_known_sample() -> None:
    # n = 4, mean 2.5, sd 1.290994, t(0.975, 3) = 3.182446
    assert t_interval([1, 2, 3, 4]) == pytest.approx([0.445739, 4.554261], abs=1e-6)
    assert t_interval([1.0]) is None


def strengths(
    generator: np.random.Generator, num_people: int, per_person: int, shift: float
) -> tuple[list[np.ndarray], list[str]]:
    """ES of scenarios a and b, falling over 21 alphas; people differ; b ends higher by `shift`."""
    people = np.repeat([f"p{i}" for i in range(num_people)], per_person)
    mixing = np.linspace(0, 1, 21)[:, None]
    person = np.repeat(generator.normal(0, 0.1, num_people), per_person)
    slope = np.clip(0.8 + person + generator.normal(0, 0.02, len(people)), 0, 1)
    return [1 - mixing * slope, 1 - mixing * (slope - shift)], people.tolist()


def pair(seed: int, shift: float, num_people: int = 30) -> Arms:
    generator = np.random.default_rng(seed)
    return Arms(
        forget=Strength.of(*strengths(generator, num_people, 3, shift)),
        retain=Strength.of(*strengths(generator, num_people, 3, 0.0)),
    )


def test_drawing_everybody_once_gives_the_measured_difference() -> None:
    generator = np.random.default_rng(0)
    (forget_a, forget_b), people = strengths(generator, 10, 2, 0.3)
    (retain_a, retain_b), kept = strengths(generator, 8, 3, 0.1)
    both = Arms(Strength.of([forget_a, forget_b], people), Strength.of([retain_a, retain_b], kept))
    measured = aues(1 - forget_a.mean(1), retain_a.mean(1)) - aues(
        1 - forget_b.mean(1), retain_b.mean(1)
    )
    assert both.difference(np.ones((1, 10)), np.ones((1, 8))) == pytest.approx([measured])


def test_a_resample_of_people_is_the_mean_over_their_questions() -> None:
    es_a = np.array([[1.0, 0.5, 0.0, 0.25]])
    split = Strength.of([es_a, es_a / 2], ["x", "y", "y", "z"])
    mean_a, mean_b = split.means(np.array([[0.0, 2.0, 1.0]]))
    assert mean_a == pytest.approx(np.array([[(2 * 0.5 + 2 * 0.0 + 0.25) / 5]]))
    assert mean_b == pytest.approx(mean_a / 2)
    undefined = np.array([[1.0, 0.5, None, 0.25]])
    mean_a, _ = Strength.of([undefined, es_a], ["x", "y", "y", "z"]).means(np.ones((1, 3)))
    assert mean_a == pytest.approx(np.array([[1.75 / 3]]))


@pytest.mark.parametrize("people", ["nested", "crossed"])
def test_the_bootstrap_interval_finds_a_true_difference_and_no_false_one(people: Any) -> None:
    for shift, holds_zero in [(0.3, False), (0.0, True)]:
        pairs = [pair(seed, shift) for seed in range(5)]
        low, high = (
            aues_interval(pairs, rounds=500, generator=np.random.default_rng(1), people=people)
            or []
        )
        assert (low <= 0 <= high) is holds_zero


def test_the_interval_of_a_mean_covers_as_often_as_it_says() -> None:
    """Retain strength 1 everywhere makes AUES linear in ES: the textbook cluster bootstrap."""
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        ends = generator.normal(0.5, 0.1, (12, 20)) + generator.normal(0, 0.1, (12, 1))
        pairs = []
        for end in ends:
            names = [f"p{i}" for i in range(20)]
            flat, fall = np.ones((2, 20)), np.stack([np.ones(20), 1 - end])
            kept = Strength.of([flat, flat], names)
            pairs.append(Arms(forget=Strength.of([fall, flat], names), retain=kept))
        low, high = aues_interval(pairs, rounds=300, generator=generator, people="nested") or []
        covered += low <= 0.5 <= high
    assert 0.86 <= covered / 200 <= 0.99


def test_crossed_people_keep_what_is_peculiar_to_a_person_from_averaging_out() -> None:
    pairs = [pair(0, 0.0) for _ in range(6)]  # the same people and effects in every seed
    spread = np.random.default_rng(9).normal(0, 0.2, 30)
    forget = pairs[0].forget
    worse = Strength(
        forget.people,
        forget.sum_KPA
        + np.stack([np.zeros((30, 21)), np.linspace(0, 1, 21) * 3 * spread[:, None]]),
        forget.count_P,
    )
    shared = [Arms(worse, p.retain) for p in pairs]
    widths = {}
    for people in ("nested", "crossed"):
        low, high = (
            aues_interval(shared, rounds=2000, generator=np.random.default_rng(1), people=people)
            or []
        )
        widths[people] = high - low
    assert widths["crossed"] / widths["nested"] == pytest.approx(6**0.5, rel=0.15)
    with pytest.raises(UserError, match="same people in every seed"):
        pairs = [pair(0, 0.0), pair(1, 0.0, num_people=29)]
        aues_interval(pairs, rounds=9, generator=np.random.default_rng(1), people="crossed")


@pytest.mark.parametrize(("num_people", "people"), [(30, "crossed"), (29, "nested")])
def test_people_are_crossed_where_every_seed_has_the_same(num_people: int, people: Any) -> None:
    pairs = [pair(0, 0.1), pair(1, 0.2, num_people=num_people), pair(2, 0.0)]

    def interval(people: Any) -> list[float] | None:
        return aues_interval(pairs, rounds=200, generator=np.random.default_rng(1), people=people)

    assert interval(None) == interval(people)
    if people == "crossed":
        assert interval(None) != interval("nested")
