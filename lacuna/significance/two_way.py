"""The deciding interval: a t interval with seeds and people as two sources of variance.

Seeds share their people. Where the place matters for some people and not for others, what is
peculiar to a person does not average out over seeds, and Student's t over seeds misses the truth
more often the more seeds there are. Two-way clustering (Cameron, Gelbach & Miller, "Robust
inference with multiway clustering", J. Business & Economic Statistics 29, 2011) adds the variance
that people bring and takes off what the seeds' variance holds of it already:

    V = V_seeds + max(0, V_forget - V_forget,seeds) + max(0, V_retain - V_retain,seeds)

    V_seeds          sample variance of the seeds' differences / n
    V_people         sample variance over people of a person's influence, mean over seeds, / P
    V_people,seeds   variance of the interaction (influences less their means over seeds and over
                     people, with (n - 1)(P - 1) degrees of freedom) / (n P)

The interaction is free of what is peculiar to people in all seeds, so each part is unbiased; taking
the whole variance within a seed instead, as is usual with many clusters, would leave out 1/n of the
people's variance: a quarter with four seeds.

Forget and retain people are other people, so each split is a dimension of its own. Degrees of
freedom by Satterthwaite over the mean squares that enter:

    df = V^2 / (V_seeds^2 / (n - 1) + V_people^2 / (P - 1) + V_people,seeds^2 / (n - 1) / (P - 1))

with the last two for each split that adds something; at least 1, as where the parts of a split
nearly cancel (one person in one seed makes the whole difference) it falls without bound. Where a
split's people are not the same in every seed, what is peculiar to them varies from seed to seed,
the seeds' variance holds it, and the split adds nothing; where that is so for all, the result is
Student's t.

Shapes: n seeds, P people of a split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from lacuna.errors import UserError
from lacuna.significance.arms import SPLITS, Arms, Score, aues_difference, same_people

Floats = NDArray[np.float64]
Alternative = Literal["two-sided", "greater", "less"]


@dataclass(frozen=True)
class TwoWay:
    """Mean difference over seeds with the interval and the parts of its variance."""

    estimate: float
    low: float
    high: float
    level: float
    df: float
    variance: Mapping[str, float]
    """Of the estimate, by source: "seeds", then what each split's people add to it."""
    n: int
    """Number of seeds."""
    method: str
    """"two-way t over seeds and people", or "Student's t over seeds"."""

    @property
    def standard_error(self) -> float:
        """Of the estimate."""
        return float(sum(self.variance.values()) ** 0.5)

    def p(self, value: float = 0.0, alternative: Alternative = "two-sided") -> float:
        """p of the hypothesis that the true difference is `value`, by the same t.

        "less" asks whether it is smaller: `p(margin, "less")` is below .025 exactly where the upper
        end of the 95% interval lies below the margin.
        """
        return t_p(self.estimate - value, self.standard_error, self.df, alternative)


def t_p(distance: float, error: float, df: float, alternative: Alternative) -> float:
    """p of Student's t for an estimate `distance` above the hypothesis; `error` may be 0."""
    if error:
        t = distance / error
    else:
        t = 0.0 if distance == 0 else float(np.copysign(np.inf, distance))
    if alternative == "two-sided":
        return float(2 * scipy.stats.t.sf(abs(t), df))
    return float(scipy.stats.t.sf(t if alternative == "greater" else -t, df))


def two_way_t(
    differences: ArrayLike, people: Mapping[str, ArrayLike] | None = None, level: float = 0.95
) -> TwoWay | None:
    """Two-way t of paired differences (n,), one per seed; None below two seeds.

    `people` holds for each split whose people all seeds share their influences (n, P) on the seeds'
    differences, as `Arms.influence` gives them; without any it is Student's t. The interval's width
    is 0 where nothing varies. Raises `UserError` for values that are not finite or do not fit.
    """
    deltas = np.asarray(differences, float)
    n = len(deltas)
    influences = {name: np.asarray(values, float) for name, values in (people or {}).items()}
    for name, found in (("differences", deltas), *influences.items()):
        if not np.isfinite(found).all():
            raise UserError(f"two-way t: {name} hold a value that is not finite: leave it out")
    if n < 2:
        return None
    variance = {"seeds": float(deltas.var(ddof=1)) / n}
    uncertain = variance["seeds"] ** 2 / (n - 1)
    for name, influence in influences.items():
        if influence.ndim != 2 or len(influence) != n or influence.shape[1] < 2:
            raise UserError(
                f"two-way t: influences of {name} people have shape {influence.shape}: "
                f"give {n} seeds by at least 2 people"
            )
        variance[name], more = _added(influence)
        uncertain += more
    total = sum(variance.values())
    df = max(1.0, total**2 / uncertain) if uncertain else float(n - 1)
    half = float(scipy.stats.t.ppf((1 + level) / 2, df)) * total**0.5
    middle = float(deltas.mean())
    method = "two-way t over seeds and people" if influences else "Student's t over seeds"
    return TwoWay(middle, middle - half, middle + half, level, df, variance, n, method)


def two_way_of_arms(
    seeds: Sequence[Arms], score: Score = aues_difference, level: float = 0.95
) -> TwoWay | None:
    """Two-way t of a score's differences, true region minus rivals, over seeds.

    A split with the same people (at least two) in every seed counts as a source of variance. None
    below two seeds, and where the score is undefined without one of the people (arms that forgot
    hardly anything have no common depth then), since what that person brings cannot be known.
    """
    people: dict[str, Floats] = {
        split: np.array([arms.influence(split, score) for arms in seeds])
        for split in SPLITS
        if seeds and same_people(seeds, split) and len(getattr(seeds[0], split).people) > 1
    }
    if not all(np.isfinite(influence).all() for influence in people.values()):
        return None
    return two_way_t([arms.whole(score) for arms in seeds], people, level)


def _added(influence_nP: Floats) -> tuple[float, float]:
    """What a split's people add to the variance that the seeds' differences hold already.

    Second: the sum of squared parts over their degrees of freedom, for Satterthwaite's formula.
    """
    n, num_people = influence_nP.shape
    mean_P = influence_nP.mean(axis=0)
    left = influence_nP - mean_P
    left -= left.mean(axis=1, keepdims=True)
    df = (n - 1) * (num_people - 1)
    people = float(mean_P.var(ddof=1)) / num_people
    interaction = float((left**2).sum()) / df / (n * num_people)
    if people <= interaction:
        return 0.0, 0.0
    return people - interaction, people**2 / (num_people - 1) + interaction**2 / df
