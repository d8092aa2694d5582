"""One seed's two trials, person by person, and differences of the whole or without somebody.

Questions about one person are learnt and forgotten together, so people are dropped or drawn again,
not questions. Other people give new FS and RS at every alpha and from these a new score; both
scenarios of a seed see the same people, which keeps the comparison paired.

Shapes: A mixing weights, I items, P people, R sets of people.
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
Score = Callable[[Floats, Floats, Floats, Floats], Floats]
"""From FS and RS of scenario a, then of b, each (R, A), to a difference a - b (R,)."""


def aues_difference(fs_a: Floats, rs_a: Floats, fs_b: Floats, rs_b: Floats) -> Floats:
    """AUES_a - AUES_b as published, whatever depth each arm reached."""
    return aues(fs_a, rs_a) - aues(fs_b, rs_b)


@dataclass(frozen=True)
class Strength:
    """Extraction strengths of one split under scenarios a and b, summed by person."""

    people: tuple[str, ...]
    sum_a_PA: Floats
    sum_b_PA: Floats
    count_P: Floats
    """Questions about each person."""

    @staticmethod
    def of(es_a: ArrayLike, es_b: ArrayLike, people: Sequence[str]) -> "Strength":
        """From ES (A, I) of I items under each scenario, and the person each item is about.

        Items undefined (NaN or None) under either scenario are left out.
        """
        a, b = np.asarray(es_a, float), np.asarray(es_b, float)
        if a.shape != b.shape or a.shape[1:] != (len(people),):
            raise UserError(
                f"paired trials hold extraction strengths of shapes {a.shape} and {b.shape} for "
                f"{len(people)} items: compare trials of the same data and alphas"
            )
        defined = ~(np.isnan(a) | np.isnan(b)).any(axis=0)
        names, person = np.unique(np.asarray(people)[defined], return_inverse=True)
        member = np.equal.outer(np.arange(len(names)), person).astype(float)
        return Strength(
            people=tuple(names.tolist()),
            sum_a_PA=member @ a[:, defined].T,
            sum_b_PA=member @ b[:, defined].T,
            count_P=member.sum(axis=1),
        )

    def means(self, weight_RP: Floats) -> tuple[Floats, Floats]:
        """Mean ES (R, A) under a and under b when person p is drawn weight_RP[r, p] times."""
        total_R1 = (weight_RP @ self.count_P)[:, None]
        return weight_RP @ self.sum_a_PA / total_R1, weight_RP @ self.sum_b_PA / total_R1

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
class Pair:
    """One seed's two trials."""

    forget: Strength
    retain: Strength

    def difference(
        self, forget_RP: Floats, retain_RP: Floats, score: Score = aues_difference
    ) -> Floats:
        """Score of a minus that of b (R,) with other forget and retain people.

        Either argument may be a single row (1, P) that serves for all.
        """
        forget_a, forget_b = self.forget.means(forget_RP)
        retain_a, retain_b = self.retain.means(retain_RP)
        return score(1 - forget_a, retain_a, 1 - forget_b, retain_b)

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
        strength = self.forget if split == "forget" else self.retain
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


def same_people(pairs: Sequence[Pair], split: Split) -> bool:
    """Whether every seed has the same people in a split."""
    return len({getattr(pair, split).people for pair in pairs}) == 1
