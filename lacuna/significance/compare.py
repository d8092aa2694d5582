"""Two scenarios over seeds: effect, interval, n, and p-values with what each one can say.

`compare` reads trial summaries, `paired` plain values (attack outcomes). Both return one flat dict
of JSON values in which None means undefined, so that n = 1 never looks like an error of zero. A
failed or undefined member leaves every statistic None and is named in "missing": a mean is over all
seeds of the study or it is not given.
"""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np

from lacuna.errors import UserError
from lacuna.registry import suggest
from lacuna.results import Comparison, Failure, PairedValues, TrialSummary
from lacuna.significance.arms import Arms, Strength
from lacuna.significance.published import (
    MAX_EXACT,
    aues_permutation,
    pool_split,
    sampled_aues_permutation,
)
from lacuna.significance.seeds import People, aues_interval, sign_flip, t_interval

Trial = TrialSummary | Failure
Metric = Literal["aues", "mu95"]

METRICS: tuple[Metric, ...] = get_args(Metric)


def compare(
    trials_a: Sequence[Trial],
    trials_b: Sequence[Trial],
    metric: Metric = "aues",
    *,
    generator: np.random.Generator,
    rounds: int = 10_000,
    people: People | None = None,
) -> Comparison:
    """Compare scenario a with scenario b, paired by seed, in AUES or MU95.

    b may have several trials of a seed, told apart by their random region: its value is their
    mean, and the paper's tests, which compare two curves, are made with the first of them.

    The trials are summaries of test trials, or what stands in place of one that failed. On top
    of `paired`, the record holds "metric"; for AUES a cluster-bootstrap interval of the
    difference ("interval_method" "bootstrap", see `seeds.aues_interval` for `rounds` and
    `people`) and the paper's permutation test per seed ("p_alpha_permutation", exact) with its
    mean; for MU95 the paper's "p_pool_split" per seed with its mean, and the seeds whose
    utility never fell to 95% ("uncrossed_a", "uncrossed_b": their value is the FQ at the lowest
    utility reached).

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
    pairs = paired([_value(t, metric) for t in a], [_mean_value(own, metric) for own in b], seeds)
    missing = _missing(seeds, a, b, metric)
    record: Comparison = {**pairs, "metric": metric, "missing": missing}
    if metric == "aues":
        _add_aues_tests(record, a, b, generator, rounds, people)
    else:
        _add_mu95_tests(record, a, b, generator, rounds)
    return record


def paired(
    values_a: Sequence[float | None],
    values_b: Sequence[float | None],
    seeds: Sequence[int] | None = None,
) -> PairedValues:
    """Means, paired difference a - b, 95% t interval and exact sign-flip test over seeds.

    Both lists hold one value per seed, in the same order; `seeds` names them (default 0, 1, ...).
    sd is the sample standard deviation (n - 1), None for one seed. "abs_diff_mean" and
    "abs_diff_sd" are of the per-seed |a - b|, as the paper's tables print them. If a value is None,
    NaN or infinite, its seed is named in "missing" and the statistics that need it are None.
    """
    names = list(seeds) if seeds is not None else list(range(len(values_a)))
    a, b = _floats(values_a), _floats(values_b)
    if not len(a) == len(b) == len(names):
        raise UserError(f"cannot pair {len(a)} with {len(b)} values over {len(names)} seeds")
    whole_a, whole_b = np.isfinite(a), np.isfinite(b)
    missing = [f"seed {names[i]}: undefined" for i in np.flatnonzero(~(whole_a & whole_b))]
    deltas = a - b if not missing else np.empty(0)
    test = sign_flip(deltas)
    return {
        "n_seeds": int((whole_a & whole_b).sum()),
        "seeds": names,
        "missing": missing,
        "values_a": _json(a),
        "values_b": _json(b),
        "mean_a": _mean(a),
        "sd_a": _sd(a),
        "mean_b": _mean(b),
        "sd_b": _sd(b),
        "abs_diff_mean": _mean(np.abs(deltas)),
        "abs_diff_sd": _sd(np.abs(deltas)),
        "diff": test.difference,
        "diff_sd": _sd(deltas),
        "interval": t_interval(deltas),
        "interval_method": "t",
        "p_sign_flip": test.p,
        "p_min": test.p_min,
    }


def _add_aues_tests(
    record: Comparison,
    a: Sequence[Trial],
    b: Sequence[Sequence[Trial]],
    generator: np.random.Generator,
    rounds: int,
    people: People | None,
) -> None:
    p_values = _each(a, b, "aues", lambda x, y: _permutation(x, y, generator, rounds))
    record["interval"], record["interval_method"] = None, "bootstrap"
    if not record["missing"]:
        seeds = [arms_of(_finished([x, *own])) for x, own in zip(a, b, strict=True)]
        record["interval"] = aues_interval(seeds, rounds=rounds, generator=generator, people=people)
    record["p_alpha_permutation"] = p_values
    record["p_alpha_permutation_mean"] = _mean(_floats(p_values))


def _add_mu95_tests(
    record: Comparison,
    a: Sequence[Trial],
    b: Sequence[Sequence[Trial]],
    generator: np.random.Generator,
    rounds: int,
) -> None:
    p_values = _each(a, b, "mu95", lambda x, y: _pool_split(x, y, generator, rounds))
    record["p_pool_split"] = p_values
    record["p_pool_split_mean"] = _mean(_floats(p_values))
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


def _mean_value(trials: Sequence[Trial], metric: Metric) -> float | None:
    values = [value for trial in trials if (value := _value(trial, metric)) is not None]
    return float(np.mean(values)) if len(values) == len(trials) else None


def _value(trial: Trial, metric: Metric) -> float | None:
    """The trial's number, or None where it failed or the data has no such metric."""
    if "failed" in trial:
        return None
    if metric == "aues":
        return trial["aues"]
    return None if trial["mu95"] is None else trial["mu95"]["value"]


def _missing(
    seeds: Sequence[int], a: Sequence[Trial], b: Sequence[Sequence[Trial]], metric: Metric
) -> list[str]:
    """Why each pair without a value has none."""
    reasons = [
        f"seed {seed}: {trial.get('failed', f'{metric} is undefined')}"
        for seed, first, own in zip(seeds, a, b, strict=True)
        for trial in (first, *own)
        if _value(trial, metric) is None
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


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _json(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _mean(values: np.ndarray) -> float | None:
    """Mean, or None where a value is missing or there is none."""
    return float(values.mean()) if len(values) and np.isfinite(values).all() else None


def _sd(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 and np.isfinite(values).all() else None
