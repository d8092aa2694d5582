"""Two scenarios of trials over seeds, in every measure that a claim is about.

The record is that of `seeds.paired`, with the interval that decides, the exact test over regions,
and the papers' tests beside them. A failed or undefined trial leaves every statistic None and is
named in "missing".
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np

from lacuna.errors import UserError
from lacuna.registry import suggest
from lacuna.results import Comparison, Failure, TrialSummary
from lacuna.significance.arms import Arms, Score, Strength, aues_difference
from lacuna.significance.matched import (
    Curve,
    compare_curves,
    depth_difference,
    matched_difference,
)
from lacuna.significance.published import (
    MAX_EXACT,
    aues_permutation,
    pool_split,
    sampled_aues_permutation,
)
from lacuna.significance.seeds import People, arms_paired, aues_interval, by_two_way, mean_of
from lacuna.significance.two_way import two_way_of_arms

Trial = TrialSummary | Failure
Metric = Literal["matched", "depth", "aues", "mu95"]
"""AUES to the depth that all arms reach; RS at that depth; AUES and MU95 as published."""

METRICS: tuple[Metric, ...] = get_args(Metric)
SCORES: Mapping[Metric, Score] = {
    "matched": matched_difference,
    "depth": depth_difference,
    "aues": aues_difference,
}
"""Measures made of people's extraction strengths, which the two-way t takes apart."""


def compare(
    trials_a: Sequence[Trial],
    trials_b: Sequence[Trial],
    metric: Metric = "aues",
    *,
    generator: np.random.Generator,
    rounds: int = 10_000,
    people: People | None = None,
) -> Comparison:
    """Compare scenario a with scenario b, paired by seed, in one measure.

    b may have several trials of a seed, told apart by their random region: its value is their
    mean, and the paper's tests, which compare two curves, are made with the first of them.

    The trials are summaries of test trials, or what stands in place of one that failed. The
    interval is the two-way t over seeds and people, of MU95 Student's t over seeds; "p_blocks" is
    block randomisation over which of a seed's regions was the true one. AUES has besides them a
    bootstrap interval for display (see `seeds.aues_interval` for `rounds` and `people`) and the
    paper's permutation test per seed with its mean; MU95 the paper's pool split per seed with its
    mean, and the seeds whose utility never fell to 95% (their value is the FQ at the lowest utility
    reached).

    Raises `UserError` for an unknown metric, a seed given twice, or seeds that differ between a and
    b.
    """
    if metric not in METRICS:
        raise UserError(f"unknown significance metric {metric!r}{suggest(metric, list(METRICS))}")
    by_seed_a, by_seed_b = _by_seed(trials_a), _by_seed(trials_b)
    if repeated := [seed for seed, own in by_seed_a.items() if len(own) > 1]:
        raise UserError(
            f"seed {repeated[0]} has several trials in the first scenario: give each seed once"
        )
    if by_seed_a.keys() != by_seed_b.keys():
        raise UserError(
            f"trials cannot be paired: seeds {sorted(by_seed_a)} against {sorted(by_seed_b)}; "
            f"run both scenarios with the same seeds"
        )
    seeds = sorted(by_seed_a)
    a, b = [by_seed_a[seed][0] for seed in seeds], [by_seed_b[seed] for seed in seeds]
    values = [_values([x, *own], metric) for x, own in zip(a, b, strict=True)]
    pairs = arms_paired(values, seeds, generator=generator)
    missing = _missing(seeds, a, b, values, metric)
    record: Comparison = {**pairs, "metric": metric, "missing": missing}
    if not missing and metric in SCORES:
        arms = [arms_of(_finished([x, *own])) for x, own in zip(a, b, strict=True)]
        by_two_way(record, two_way_of_arms(arms, SCORES[metric]))
        if metric == "aues":
            record["interval_bootstrap"] = aues_interval(
                arms, rounds=rounds, generator=generator, people=people
            )
    if metric == "aues":
        _add_aues_test(record, a, b, generator, rounds)
    elif metric == "mu95":
        _add_mu95_tests(record, a, b, generator, rounds)
    return record


def _add_aues_test(
    record: Comparison,
    a: Sequence[Trial],
    b: Sequence[Sequence[Trial]],
    generator: np.random.Generator,
    rounds: int,
) -> None:
    p_values = _each(a, b, "aues", lambda x, y: _permutation(x, y, generator, rounds))
    record["p_alpha_permutation"] = p_values
    record["p_alpha_permutation_mean"] = mean_of(p_values)


def _add_mu95_tests(
    record: Comparison,
    a: Sequence[Trial],
    b: Sequence[Sequence[Trial]],
    generator: np.random.Generator,
    rounds: int,
) -> None:
    p_values = _each(a, b, "mu95", lambda x, y: _pool_split(x, y, generator, rounds))
    record["p_pool_split"] = p_values
    record["p_pool_split_mean"] = mean_of(p_values)
    record["uncrossed_a"] = _uncrossed(a)
    record["uncrossed_b"] = _uncrossed([trial for own in b for trial in own])


def _permutation(
    a: TrialSummary, b: TrialSummary, generator: np.random.Generator, rounds: int
) -> float:
    curves = (a["curve"]["fs"], a["curve"]["rs"], b["curve"]["fs"], b["curve"]["rs"])
    if len(curves[0]) <= MAX_EXACT:
        return aues_permutation(*curves)
    return sampled_aues_permutation(*curves, rounds=rounds, generator=generator)


def _pool_split(
    a: TrialSummary, b: TrialSummary, generator: np.random.Generator, rounds: int
) -> float:
    mu_a, mu_b = a["curve"]["mu"], b["curve"]["mu"]
    # Both start from the same injected model; the mean only absorbs rounding between two passes.
    start = (mu_a[0] + mu_b[0]) / 2
    fq_a, fq_b = a["curve"]["fq"], b["curve"]["fq"]
    assert fq_a is not None and fq_b is not None, "MU95 is read off the forget quality"
    return pool_split(mu_a, fq_a, mu_b, fq_b, start=start, rounds=rounds, generator=generator)


def arms_of(trials: Sequence[TrialSummary]) -> Arms:
    """One seed's trials, the true region's first, person by person.

    Raises `UserError` where their people differ.
    """
    first = trials[0]
    for split, people in (
        ("forget", [trial["people_forget"] for trial in trials]),
        ("retain", [trial["people_retain"] for trial in trials]),
    ):
        if any(names != people[0] for names in people):
            raise UserError(
                f"seed {first['seed']}: the trials' people_{split} differ: compare trials "
                f"of the same data"
            )
    return Arms(
        forget=Strength.of([trial["es_forget"] for trial in trials], first["people_forget"]),
        retain=Strength.of([trial["es_retain"] for trial in trials], first["people_retain"]),
    )


def _each(
    a: Sequence[Trial],
    b: Sequence[Sequence[Trial]],
    metric: Metric,
    test: Callable[[TrialSummary, TrialSummary], float],
) -> list[float | None]:
    """`test` of every seed's trial and first rival; None where one of them lacks the metric."""
    return [
        None
        if "failed" in x or "failed" in y or None in (_value(x, metric), _value(y, metric))
        else test(x, y)
        for x, (y, *_) in zip(a, b, strict=True)
    ]


def _finished(trials: Sequence[Trial]) -> list[TrialSummary]:
    return [trial for trial in trials if "failed" not in trial]


def first_and_others(trials: Sequence[Trial]) -> tuple[list[Trial], list[Trial]]:
    """The trials in each seed's first random region, and those in its others (an A/A comparison).

    Seeds with a single region are left out.
    """
    by_seed = [own for own in _by_seed(trials).values() if len(own) > 1]
    return [own[0] for own in by_seed], [trial for own in by_seed for trial in own[1:]]


def on_seeds_of(trials: Sequence[Trial], rivals: Sequence[Trial]) -> list[Trial]:
    """Those of the rivals whose seed has one of `trials`, which may be on fewer seeds."""
    seeds = _by_seed(trials).keys()
    return [trial for seed, own in _by_seed(rivals).items() if seed in seeds for trial in own]


def _by_seed(trials: Sequence[Trial]) -> dict[int, list[Trial]]:
    """Seed -> its trials in the order of their random regions, each once."""
    found: dict[int, dict[int, Trial]] = {}
    for trial in trials:
        if "failed" in trial:
            seed, region = int(trial["tags"]["seed"]), int(trial["tags"].get("region", 1))
        else:
            seed, region = trial["seed"], trial.get("region", 1)
        own = found.setdefault(seed, {})
        if region in own:
            raise UserError(f"seed {seed} has two trials in one scenario: give each seed once")
        own[region] = trial
    return {seed: [own[region] for region in sorted(own)] for seed, own in found.items()}


def _values(trials: Sequence[Trial], metric: Metric) -> list[float | None]:
    """Each arm's number, the true region's first; None of one that is undefined."""
    if metric in ("aues", "mu95"):
        return [_value(trial, metric) for trial in trials]
    done = _finished(trials)
    if len(done) < len(trials):
        return [None for _ in trials]
    curves = [Curve(trial["curve"]["fs"], trial["curve"]["rs"]) for trial in done]
    found = compare_curves(curves)
    return list(found.aues if metric == "matched" else found.at_depth.rs)


def _value(trial: Trial, metric: Metric) -> float | None:
    """The trial's number, or None where it failed or the data has no such metric."""
    if "failed" in trial:
        return None
    if metric == "aues":
        return trial["aues"]
    return None if trial["mu95"] is None else trial["mu95"]["value"]


def _missing(
    seeds: Sequence[int],
    a: Sequence[Trial],
    b: Sequence[Sequence[Trial]],
    values: Sequence[Sequence[float | None]],
    metric: Metric,
) -> list[str]:
    """Why each pair without a value has none."""
    why = (
        f"{metric} is undefined" if metric in ("aues", "mu95") else "no common depth of forgetting"
    )
    reasons = [
        f"seed {seed}: {trial.get('failed', why)}"
        for seed, first, own, row in zip(seeds, a, b, values, strict=True)
        for trial, value in zip((first, *own), row, strict=True)
        if value is None and ("failed" in trial or all("failed" not in t for t in (first, *own)))
    ]
    return list(dict.fromkeys(reasons))


def _uncrossed(trials: Sequence[Trial]) -> list[int]:
    """Seeds whose utility never fell to 95%, in any of their trials."""
    seeds = [
        trial["seed"]
        for trial in _finished(trials)
        if trial["mu95"] is not None and not trial["mu95"]["crossed"]
    ]
    return list(dict.fromkeys(seeds))
