"""The deciding interval: a t interval with seeds and people as two sources of variance.

Seeds share their people. Where the place matters for some people and not for others, what is
peculiar to a person does not average out over seeds, and Student's t over seeds misses the truth
more often the more seeds there are. Two-way clustering (Cameron, Gelbach & Miller, "Robust
inference with multiway clustering", J. Business & Economic Statistics 29, 2011) adds the variance
that people bring and takes off what the seeds' variance holds of it already:

    V = V_seeds + max(0, V_forget - V_forget,seeds) + max(0, V_retain - V_retain,seeds)

    V_seeds          sample variance of the seeds' differences / n
    V_people         sample variance over people of a person's influence, mean over seeds, / P
    V_people,seeds   mean over seeds of the sample variance of influences within a seed, / (n P)

Forget and retain people are other people, so each split is a dimension of its own. Degrees of
freedom by Satterthwaite: V^2 / sum of each part's V_i^2 / (its number - 1). Where a split's people
are not the same in every seed, what is peculiar to them varies from seed to seed, the seeds'
variance holds it, and the split adds nothing; where that is so for all, the result is Student's t.

Shapes: n seeds, P people of a split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

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
        distance, error = self.estimate - value, self.standard_error
        if error:
            t = distance / error
        else:
            t = 0.0 if distance == 0 else float(np.copysign(np.inf, distance))
        if alternative == "two-sided":
            return float(2 * stats.t.sf(abs(t), self.df))
        return float(stats.t.sf(t if alternative == "greater" else -t, self.df))


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
    variance, numbers = {"seeds": float(deltas.var(ddof=1)) / n}, {"seeds": n}
    for name, influence in influences.items():
        if influence.ndim != 2 or len(influence) != n or influence.shape[1] < 2:
            raise UserError(
                f"two-way t: influences of {name} people have shape {influence.shape}: "
                f"give {n} seeds by at least 2 people"
            )
        variance[name], numbers[name] = _added(influence), influence.shape[1]
    total = sum(variance.values())
    parts = sum(part**2 / (numbers[name] - 1) for name, part in variance.items())
    df = total**2 / parts if parts else float(n - 1)
    half = float(stats.t.ppf((1 + level) / 2, df)) * total**0.5
    middle = float(deltas.mean())
    method = "two-way t over seeds and people" if influences else "Student's t over seeds"
    return TwoWay(middle, middle - half, middle + half, level, df, variance, n, method)


def two_way_of_arms(
    seeds: Sequence[Arms], score: Score = aues_difference, level: float = 0.95
) -> TwoWay | None:
    """Two-way t of a score's differences, true region minus rivals, over seeds.

    A split with the same people (at least two) in every seed counts as a source of variance.
    """
    people: dict[str, ArrayLike] = {
        split: np.array([arms.influence(split, score) for arms in seeds])
        for split in SPLITS
        if seeds and same_people(seeds, split) and len(getattr(seeds[0], split).people) > 1
    }
    return two_way_t([arms.whole(score) for arms in seeds], people, level)


def _added(influence_nP: Floats) -> float:
    """What a split's people add to the variance that the seeds' differences hold already."""
    n, num_people = influence_nP.shape
    shared = influence_nP.mean(axis=0).var(ddof=1) / num_people
    within = influence_nP.var(axis=1, ddof=1).mean() / (n * num_people)
    return max(0.0, float(shared - within))
