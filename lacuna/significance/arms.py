"""One seed's trials, person by person, and their difference with everybody or without somebody.

A seed has several arms: the true region's trial first, then those of its k rivals (one or several
random regions, or another place). Questions about one person are learnt and forgotten together, so
people are dropped or drawn again, not questions. Other people give new FS and RS at every alpha and
from these a new score; all arms of a seed see the same people, which keeps the comparison paired.

Shapes: K arms (k + 1), A mixing weights, I items, P people, R sets of people.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lacuna.errors import UserError
from lacuna.evaluate.curve_summaries import aues

Floats = NDArray[np.float64]
Split = Literal["forget", "retain"]
SPLITS: tuple[Split, ...] = ("forget", "retain")
Score = Callable[[Floats, Floats], Floats]
"""From FS and RS of all arms, each (K, R, A), to the true arm minus the mean of its rivals (R,)."""


def first_minus_rest(values: Floats) -> Floats:
    """(K, ...) -> (...): the true arm's value minus the mean of its rivals'."""
    return np.asarray(values[0] - values[1:].mean(axis=0))


def slope_weights(x: ArrayLike) -> Floats:
    """(K,) weights whose product with K values is their least-squares slope on `x` (K,).

    Raises `UserError` where all of `x` are the same: there is no slope then.
    """
    values = np.asarray(x, float)
    away = values - values.mean()
    if not away.any():
        raise UserError(f"a slope needs different values, all {len(away)} are {values[0]:g}")
    return np.asarray(away / (away**2).sum())


def aues_difference(fs: Floats, rs: Floats) -> Floats:
    """AUES as published, whatever depth each arm reached."""
    return first_minus_rest(aues(fs, rs))


@dataclass(frozen=True)
class Strength:
    """Extraction strengths of one split under every arm, summed by person."""

    people: tuple[str, ...]
    sum_KPA: Floats
    count_P: Floats
    """Questions about each person."""

    @staticmethod
    def of(arms: Sequence[ArrayLike], people: Sequence[str]) -> "Strength":
        """From each arm's ES (A, I) of I items, and the person each item is about.

        Items undefined (NaN or None) under any arm are left out. Raises `UserError` where shapes
        differ.
        """
        found = [np.asarray(es, float) for es in arms]
        if len({es.shape for es in found}) != 1 or found[0].shape[1:] != (len(people),):
            shapes = " and ".join(str(es.shape) for es in found)
            raise UserError(
                f"paired trials hold extraction strengths of shapes {shapes} for "
                f"{len(people)} items: compare trials of the same data and alphas"
            )
        es_KAI = np.stack(found)
        defined = ~np.isnan(es_KAI).any(axis=(0, 1))
        names, person = np.unique(np.asarray(people)[defined], return_inverse=True)
        member = np.equal.outer(np.arange(len(names)), person).astype(float)
        return Strength(
            people=tuple(names.tolist()),
            sum_KPA=member @ es_KAI[:, :, defined].transpose(0, 2, 1),
            count_P=member.sum(axis=1),
        )

    def means(self, weight_RP: Floats) -> Floats:
        """Mean ES (K, R, A) when person p is drawn weight_RP[r, p] times."""
        return np.asarray(weight_RP @ self.sum_KPA / (weight_RP @ self.count_P)[:, None])

    def everybody(self) -> Floats:
        """(1, P): each person once."""
        return np.ones((1, len(self.people)))

    def all_but_one(self) -> Floats:
        """(P, P): row p leaves person p out."""
        return np.ones((len(self.people),) * 2) - np.eye(len(self.people))

    def draw(self, rounds: int, generator: np.random.Generator) -> Floats:
        """(R, P): how often each person is drawn in a resample of P people."""
        num_people = len(self.count_P)
        drawn = generator.multinomial(num_people, np.full(num_people, 1 / num_people), rounds)
        return drawn.astype(float)


@dataclass(frozen=True)
class Arms:
    """One seed's trials: the true region's, then its rivals'."""

    forget: Strength
    retain: Strength

    def difference(
        self, forget_RP: Floats, retain_RP: Floats, score: Score = aues_difference
    ) -> Floats:
        """True arm minus its rivals (R,) with other forget and retain people.

        Either argument may be a single row (1, P) that serves for all.
        """
        return score(1 - self.forget.means(forget_RP), self.retain.means(retain_RP))

    def whole(self, score: Score = aues_difference) -> float:
        """The difference as measured, every person once."""
        everybody = self.forget.everybody(), self.retain.everybody()
        return float(self.difference(*everybody, score)[0])

    def influence(self, split: Split, score: Score = aues_difference) -> Floats:
        """(P,) how far each person of a split pulls the difference: (P - 1)(all - all but one).

        For a mean over people it is the person's own value minus the mean; for any other smooth
        score the jackknife's approximation of that. Its variance over people, divided by P, is that
        of the difference. Raises `UserError` below two people.
        """
        forget, retain = self.forget.everybody(), self.retain.everybody()
        strength: Strength = getattr(self, split)
        if (num_people := len(strength.people)) < 2:
            raise UserError(f"{num_people} people to {split}: their variance needs at least 2")
        if split == "forget":
            without = self.difference(strength.all_but_one(), retain, score)
        else:
            without = self.difference(forget, strength.all_but_one(), score)
        return (num_people - 1) * (self.whole(score) - without)

    def resample(self, rounds: int, generator: np.random.Generator) -> Floats:
        """Differences of AUES (R,) under independent resamples of people."""
        forget_RP = self.forget.draw(rounds, generator)
        return self.difference(forget_RP, self.retain.draw(rounds, generator))


def same_people(seeds: Sequence[Arms], split: Split) -> bool:
    """Whether every seed has the same people in a split."""
    return len({getattr(arms, split).people for arms in seeds}) == 1
