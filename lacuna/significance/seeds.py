"""Tests and intervals over seeds, the unit that was drawn independently.

A seed draws the region, the injection and the unlearning run, so two scenarios differ as methods
only if they differ over seeds. Student's t speaks about *these* people; `two_way` about people like
them, and decides. The sign-flip test and the bootstrap are for display: n seeds cannot bring the
first below 2^(1 - n), and with fewer than 16 the second is too narrow (`calibrate` measures it).

`paired` puts two sides over seeds into one flat record of JSON values in which None means
undefined, so that n = 1 never looks like an error of zero. An undefined member leaves every
statistic None and is named in "missing": a mean is over all seeds of the study or it is not given.

Shapes: S seeds, R bootstrap rounds.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from lacuna.errors import UserError
from lacuna.results import Paired, PairedValues
from lacuna.significance.arms import Arms, Floats, same_people
from lacuna.significance.blocks import block_randomisation
from lacuna.significance.two_way import Alternative, TwoWay, t_p

People = Literal["nested", "crossed"]

MAX_SEEDS = 24
"""Most seeds for which all 2^n sign patterns are enumerated."""


class SignFlip(NamedTuple):
    """Exact two-sided sign-flip test of paired differences."""

    difference: float | None
    """Mean of the n paired differences; None for n = 0."""
    p: float | None
    """Share of the 2^n sign patterns whose |mean| reaches the observed one; None for n = 0."""
    n: int
    """Number of pairs."""
    p_min: float | None
    """Smallest p that n pairs can give, 2^(1 - n): with 4 seeds nothing is below 0.125."""


def sign_flip(differences: ArrayLike) -> SignFlip:
    """Fisher's randomisation test: under no effect, each seed's difference is as likely negated.

    `differences` is (n,). Exact for any distribution that is symmetric about 0; no test of n pairs
    has p below 2^(1 - n). One pair gives p = 1. Raises `UserError` above 24 pairs.
    """
    deltas = np.asarray(differences, float)
    n = len(deltas)
    if n == 0:
        return SignFlip(None, None, 0, None)
    if n > MAX_SEEDS:
        raise UserError(f"exact sign-flip test of {n} seeds is too large: use at most {MAX_SEEDS}")
    sums = deltas[:1]  # the first sign stays: negating a whole pattern leaves |sum| as it is
    for delta in deltas[1:]:
        sums = np.concatenate([sums + delta, sums - delta])
    slack = 1e-12 * np.abs(deltas).sum()
    p = float((np.abs(sums) >= abs(deltas.sum()) - slack).mean())
    return SignFlip(float(deltas.mean()), p, n, 2.0 ** (1 - n))


def t_interval(differences: ArrayLike, level: float = 0.95) -> list[float] | None:
    """Student's t interval [lo, hi] for the mean of paired differences; None below two pairs.

    Assumes near-normal differences; unlike a percentile bootstrap it does not shrink at small n.
    """
    deltas = np.asarray(differences, float)
    n = len(deltas)
    if n < 2:
        return None
    half = float(scipy.stats.t.ppf((1 + level) / 2, n - 1)) * float(deltas.std(ddof=1)) / n**0.5
    return [float(deltas.mean()) - half, float(deltas.mean()) + half]


def aues_interval(
    seeds: Sequence[Arms],
    *,
    rounds: int,
    generator: np.random.Generator,
    level: float = 0.95,
    people: People | None = None,
) -> list[float] | None:
    """Percentile interval [lo, hi] of the mean AUES difference over seeds; None below two seeds.

    "nested" draws people afresh inside every drawn seed. "crossed" draws them once a round for all
    seeds, which needs the same people in every seed and is then the wider, more honest choice: what
    is peculiar to a person does not average out over seeds. None is "crossed" where the people are
    the same, else "nested". Both miss the truth in 8 to 26% of studies with 4 to 8 seeds where 5%
    are promised; with three seeds the interval is about [least, largest]. For display only.
    """
    if len(seeds) < 2:
        return None
    seed_RS = generator.integers(0, len(seeds), size=(rounds, len(seeds)))
    draw = _crossed if (people or shared(seeds)) == "crossed" else _nested
    means_R = draw(seeds, seed_RS, generator).mean(axis=1)
    tail = 50 * (1 - level)
    return [float(edge) for edge in np.percentile(means_R, [tail, 100 - tail])]


def shared(seeds: Sequence[Arms]) -> People:
    """ "crossed" where all seeds have the same people, else "nested"."""
    same = same_people(seeds, "forget") and same_people(seeds, "retain")
    return "crossed" if same else "nested"


def _nested(
    seeds: Sequence[Arms], seed_RS: NDArray[np.int64], generator: np.random.Generator
) -> Floats:
    """Differences (R, S): every drawn seed with people of its own."""
    differences_RS = np.empty(seed_RS.shape)
    for seed, arms in enumerate(seeds):
        drawn = seed_RS == seed
        differences_RS[drawn] = arms.resample(int(drawn.sum()), generator)
    return differences_RS


def _crossed(
    seeds: Sequence[Arms], seed_RS: NDArray[np.int64], generator: np.random.Generator
) -> Floats:
    """Differences (R, S): one draw of people a round, the same for every seed."""
    if shared(seeds) != "crossed":
        raise UserError("people=crossed needs the same people in every seed: use people=nested")
    forget_RP = seeds[0].forget.draw(len(seed_RS), generator)
    retain_RP = seeds[0].retain.draw(len(seed_RS), generator)
    each_RS = np.stack([arms.difference(forget_RP, retain_RP) for arms in seeds], axis=1)
    return np.take_along_axis(each_RS, seed_RS, axis=1)


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
    test, spread = sign_flip(deltas), _sd(deltas)
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
        "diff_sd": spread,
        "interval": t_interval(deltas),
        "interval_method": "t",
        "standard_error": None if spread is None else spread / len(deltas) ** 0.5,
        "df": None if spread is None else float(len(deltas) - 1),
        "p_sign_flip": test.p,
        "p_min": test.p_min,
        "p_blocks": None,
        "p_blocks_min": None,
    }


def arms_paired(
    values: Sequence[Sequence[float | None]],
    seeds: Sequence[int] | None = None,
    *,
    generator: np.random.Generator,
) -> PairedValues:
    """`paired` of each seed's first arm with the mean of its rivals, with block randomisation.

    `values` holds a row per seed: the true region's value, then its k rivals'. Block randomisation
    needs the same k in every seed; `generator` draws labellings where they are too many to count.
    """
    rivals = [mean_of(row[1:]) for row in values]
    record = paired([row[0] for row in values], rivals, seeds)
    if values and not record["missing"] and len({len(row) for row in values}) == 1:
        test = block_randomisation(_floats_of(values), generator=generator)
        record["p_blocks"], record["p_blocks_min"] = test.p, test.floor
    return record


def by_two_way(record: Paired, found: TwoWay | None) -> None:
    """Let the two-way t over seeds and people take the place of Student's t in `record`.

    Without it the record has no interval, rather than one that leaves out what people bring.
    """
    if found is None:
        record["interval"] = record["standard_error"] = record["df"] = None
    else:
        record["interval"] = [found.low, found.high]
        record["interval_method"] = "two-way t" if len(found.variance) > 1 else "t"
        record["standard_error"], record["df"] = found.standard_error, found.df


def p_value(
    record: Paired, value: float = 0.0, alternative: Alternative = "two-sided"
) -> float | None:
    """p of the hypothesis that the true difference is `value`, by the t of the record's interval.

    "less" asks whether it is smaller, "greater" whether it is larger. None without an interval.
    """
    effect, error, df = record["diff"], record["standard_error"], record["df"]
    if effect is None or error is None or df is None:
        return None
    return t_p(effect - value, error, df, alternative)


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean; None where a value is undefined, or there is none."""
    return _mean(_floats(values))


def _floats_of(rows: Sequence[Sequence[float | None]]) -> np.ndarray:
    return np.stack([_floats(row) for row in rows])


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _json(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _mean(values: np.ndarray) -> float | None:
    """Mean, or None where a value is missing or there is none."""
    return float(values.mean()) if len(values) and np.isfinite(values).all() else None


def _sd(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 and np.isfinite(values).all() else None
