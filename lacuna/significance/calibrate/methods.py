"""Every interval and test that the report uses, applied to one simulated study.

The product's own functions throughout. An effect of d is d added to every seed's difference (to the
true region's value; for the published tests the rival's RS, or the true region's FQ, moves along
the whole curve so that AUES or MU95 changes by d), so its size is known exactly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lacuna.evaluate.curve_summaries import aues, mu95
from lacuna.significance.arms import (
    SPLITS,
    Arms,
    Floats,
    Score,
    Strength,
    aues_difference,
    first_minus_rest,
)
from lacuna.significance.blocks import block_randomisation
from lacuna.significance.calibrate.shapes import Study
from lacuna.significance.matched import matched_difference, scores
from lacuna.significance.published import pool_split, sampled_aues_permutation
from lacuna.significance.seeds import aues_interval, sign_flip, t_interval
from lacuna.significance.two_way import two_way_t

MARGINS = {"matched AUES": 0.005, "AUES": 0.02, "MU95": 1.0}
"""Estimands and the differences in them that are too small to matter."""
DECIDING = ("matched AUES", "two-way t")
INTERVALS = ("two-way t", "Student t", "bootstrap")


class Key(NamedTuple):
    """What a rate is about."""

    estimand: str
    method: str
    regions: int
    """Random regions a seed."""
    seeds: int


@dataclass(frozen=True)
class Plan:
    """What is applied to each study."""

    seeds: tuple[int, ...]
    regions: tuple[int, ...]
    bootstrap_rounds: int = 800
    published_rounds: int = 400


class Estimates(NamedTuple):
    """One estimand in one study, with k random regions."""

    values: Floats
    """(S, k + 1), the true region's first."""
    influences: dict[str, Floats]
    """(S, P) by split; empty for what is no function of people's strengths."""

    @property
    def differences(self) -> Floats:
        """(S,)."""
        return first_minus_rest(self.values.T)


Truths = Mapping[tuple[str, int], float]
"""True difference by estimand and random regions a seed."""
Outcomes = dict[Key, Floats]
"""Of an interval its ends (2,), of a test p at each of `effects` (3,)."""


def effects(estimand: str) -> Floats:
    """None, the margin and twice the margin."""
    return np.arange(3.0) * MARGINS[estimand]


def estimates(study: Study, k: int, influences: bool = True) -> dict[str, Estimates]:
    """All estimands with the first k random regions of each seed; people's influences if asked."""
    seeds = [first_arms(arms, k + 1) for arms in study.seeds]
    curves = [
        (1 - arms.forget.means(arms.forget.everybody())[:, 0],
         arms.retain.means(arms.retain.everybody())[:, 0])
        for arms in seeds
    ]  # fmt: skip
    crossed = [
        [mu95(mu, fq, mu[0]).value for mu, fq in zip(mus[: k + 1], fqs[: k + 1], strict=True)]
        for mus, fqs in zip(study.mu, study.fq, strict=True)
    ]
    return {
        "matched AUES": Estimates(
            np.array([scores(*pair) for pair in curves]),
            _influences(seeds, matched_difference) if influences else {},
        ),
        "AUES": Estimates(
            np.array([aues(*pair) for pair in curves]),
            _influences(seeds, aues_difference) if influences else {},
        ),
        "MU95": Estimates(np.array(crossed), {}),
    }


def outcomes(study: Study, plan: Plan, truths: Truths, generator: np.random.Generator) -> Outcomes:
    """What every method says about the first n seeds, for each n of the plan."""
    found: Outcomes = {}
    for k in plan.regions:
        for estimand, known in estimates(study, k).items():
            for n in plan.seeds:
                found |= _intervals(Key(estimand, "", k, n), known)
                found |= _tests(Key(estimand, "", k, n), known, truths[estimand, k])
        seeds = [first_arms(arms, k + 1) for arms in study.seeds]
        for n in plan.seeds:
            ends = aues_interval(seeds[:n], rounds=plan.bootstrap_rounds, generator=generator)
            found[Key("AUES", "bootstrap", k, n)] = np.array(ends)
    return found | _published(study, plan, truths, generator)


def first_arms(arms: Arms, count: int) -> Arms:
    """The true region's arm and the first of its rivals."""
    return Arms(
        *(
            Strength(split.people, split.sum_KPA[:count], split.count_P)
            for split in (arms.forget, arms.retain)
        )
    )


def _influences(seeds: Sequence[Arms], score: Score) -> dict[str, Floats]:
    return {split: np.array([arms.influence(split, score) for arms in seeds]) for split in SPLITS}


def _intervals(key: Key, known: Estimates) -> Outcomes:
    n = key.seeds
    deltas = known.differences[:n]
    found = {key._replace(method="Student t"): np.array(t_interval(deltas))}
    if known.influences:
        two = two_way_t(deltas, {name: part[:n] for name, part in known.influences.items()})
        assert two is not None
        found[key._replace(method="two-way t")] = np.array([two.low, two.high])
    return found


def _tests(key: Key, known: Estimates, truth: float) -> Outcomes:
    flips, blocks = [], []
    for effect in effects(key.estimand):
        values = known.values[: key.seeds].copy()
        values[:, 0] += effect - truth
        flips.append(sign_flip(first_minus_rest(values.T)).p)
        blocks.append(block_randomisation(values).p)
    return {
        key._replace(method="sign-flip"): np.array(flips, float),
        key._replace(method="block randomisation"): np.array(blocks),
    }


def _published(
    study: Study, plan: Plan, truths: Truths, generator: np.random.Generator
) -> Outcomes:
    """The papers' tests of the true region and the first rival: one seed, least and mean p."""
    found: Outcomes = {}
    for estimand, test in (("AUES", _aues_p), ("MU95", _mu95_p)):
        shifts = effects(estimand) - truths[estimand, 1]
        p_SE = np.array(
            [
                [test(study, seed, shift, plan.published_rounds, generator) for shift in shifts]
                for seed in range(max(plan.seeds))
            ]
        )
        name = "published permutation" if estimand == "AUES" else "published pool split"
        found[Key(estimand, f"{name}, one seed", 1, 1)] = p_SE[0]
        for n in plan.seeds:
            found[Key(estimand, f"{name}, mean p", 1, n)] = p_SE[:n].mean(axis=0)
            found[Key(estimand, f"{name}, any seed", 1, n)] = p_SE[:n].min(axis=0)
    return found


def _aues_p(
    study: Study, seed: int, shift: float, rounds: int, generator: np.random.Generator
) -> float:
    arms = study.seeds[seed]
    fs = 1 - arms.forget.means(arms.forget.everybody())[:2, 0]
    rs = arms.retain.means(arms.retain.everybody())[:2, 0]
    rival = rs[1] - shift / (fs[1, -1] - fs[1, 0])
    return sampled_aues_permutation(fs[0], rs[0], fs[1], rival, rounds=rounds, generator=generator)


def _mu95_p(
    study: Study, seed: int, shift: float, rounds: int, generator: np.random.Generator
) -> float:
    mu, fq = study.mu[seed], study.fq[seed]
    start = float(mu[0, 0] + mu[1, 0]) / 2
    return pool_split(
        mu[0], fq[0] + shift, mu[1], fq[1], start=start, rounds=rounds, generator=generator
    )
