"""Cluster bootstrap of an AUES difference: seeds, and people within a seed.

Questions about one person are learnt and forgotten together, so people are resampled, not
questions. A resample of people gives new FS and RS at every alpha and from these a new AUES; both
scenarios of a seed see the same people, which keeps the comparison paired.

Shapes: A mixing weights, P people, R bootstrap rounds, S seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lacuna.errors import UserError
from lacuna.evaluate.curve_summaries import aues

Floats = NDArray[np.float64]
People = Literal["nested", "crossed"]


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

    def difference(self, forget_RP: Floats, retain_RP: Floats) -> Floats:
        """AUES_a - AUES_b (R,) under resamples of forget and retain people."""
        forget_a, forget_b = self.forget.means(forget_RP)
        retain_a, retain_b = self.retain.means(retain_RP)
        return aues(1 - forget_a, retain_a) - aues(1 - forget_b, retain_b)

    def resample(self, rounds: int, generator: np.random.Generator) -> Floats:
        """Differences (R,) under independent resamples of people."""
        forget_RP = self.forget.draw(rounds, generator)
        return self.difference(forget_RP, self.retain.draw(rounds, generator))


def aues_interval(
    pairs: Sequence[Pair],
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
    the same, else "nested". With few seeds a percentile interval is
    too narrow in either form; read it beside the sign-flip test.
    """
    if len(pairs) < 2:
        return None
    seed_RS = generator.integers(0, len(pairs), size=(rounds, len(pairs)))
    draw = _crossed if (people or shared(pairs)) == "crossed" else _nested
    means_R = draw(pairs, seed_RS, generator).mean(axis=1)
    tail = 50 * (1 - level)
    return [float(edge) for edge in np.percentile(means_R, [tail, 100 - tail])]


def shared(pairs: Sequence[Pair]) -> People:
    """ "crossed" where all seeds have the same people, else "nested"."""
    same = len({(pair.forget.people, pair.retain.people) for pair in pairs}) == 1
    return "crossed" if same else "nested"


def _nested(
    pairs: Sequence[Pair], seed_RS: NDArray[np.int64], generator: np.random.Generator
) -> Floats:
    """Differences (R, S): every drawn seed with people of its own."""
    differences_RS = np.empty(seed_RS.shape)
    for seed, pair in enumerate(pairs):
        drawn = seed_RS == seed
        differences_RS[drawn] = pair.resample(int(drawn.sum()), generator)
    return differences_RS


def _crossed(
    pairs: Sequence[Pair], seed_RS: NDArray[np.int64], generator: np.random.Generator
) -> Floats:
    """Differences (R, S): one draw of people a round, the same for every seed."""
    if shared(pairs) != "crossed":
        raise UserError("people=crossed needs the same people in every seed: use people=nested")
    forget_RP = pairs[0].forget.draw(len(seed_RS), generator)
    retain_RP = pairs[0].retain.draw(len(seed_RS), generator)
    each_RS = np.stack([pair.difference(forget_RP, retain_RP) for pair in pairs], axis=1)
    return np.take_along_axis(each_RS, seed_RS, axis=1)
