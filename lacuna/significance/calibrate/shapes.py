"""Simulated studies of which the truth is known.

A study draws its people once: how hard each is to forget or easy to lose, and what the true region
does for each of them in particular. Each seed then draws how much each of its arms leaves of the
facts to forget and loses of those to retain, each person and item departs from that, and ES falls
along 21 alphas in steps of one token:

    ES(alpha) = 1 - curve(alpha) (1 - left)    to forget
    ES(alpha) = 1 - curve(alpha) lost          to retain

    left, lost = level[seed, arm] x person x (person in this trial) x (item in this trial) + place

Levels are lognormal, departures gamma with mean 1, `place` normal with mean 0 and for the true arm
only. All values are clipped to [0, 1], so where place matters or the arms' spreads differ, the true
difference is not exactly 0 and `truth` finds it by simulation.

Shapes: S seeds, K arms (the true one first), P people, M items a person, A mixing weights.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from lacuna.significance.arms import Arms, Floats, Strength

ALPHAS = np.linspace(0, 1, 21)
MOST = 0.9
"""Largest level: an arm that forgot nothing would be no study."""


@dataclass(frozen=True)
class Facts:
    """One split: how many facts, and how much of them an arm leaves (forget) or loses (retain)."""

    people: int
    items: int
    """A person."""
    tokens: int
    """Of an answer: ES moves in steps of 1 / tokens."""
    curve: tuple[float, ...]
    """(A,) from 0 to 1 along alpha."""
    level: float
    """Mean share left, or lost, at alpha = 1."""
    sd_true: float
    """Standard deviation of the level over seeds in the true region."""
    sd_random: float
    """The same in a random region."""
    shared: float = 0.0
    """Correlation of the arms of one seed."""
    person: float = 0.5
    """Variation (sd / mean) of people, the same in every trial."""
    person_in_trial: float = 0.3
    """Variation of a person from trial to trial."""
    item_in_trial: float = 0.3
    """Variation of an item from trial to trial."""
    place: float = 0.0
    """Standard deviation over people of what the true region adds for them."""


@dataclass(frozen=True)
class Utility:
    """How model utility falls and forget quality rises along alpha."""

    start: float = 0.62
    drop: float = 0.12
    """Mean share of the start that is lost at alpha = 1."""
    drop_sd: float = 0.02
    fq_start: float = -20.0
    gain: float = 12.0
    """Mean rise of log10 p at alpha = 1."""
    gain_sd: float = 1.5
    shared: float = 0.0
    """Correlation of the arms of one seed, of both."""
    noise: float = 0.3
    """Standard deviation of FQ at one alpha; that of MU is .002."""


@dataclass(frozen=True)
class Shape:
    """What a kind of study looks like."""

    name: str
    forget: Facts
    retain: Facts
    utility: Utility = Utility()

    @property
    def exchangeable(self) -> bool:
        """Whether the true arm is drawn like its rivals, so that every true difference is 0."""
        return all(
            facts.place == 0 and facts.sd_true == facts.sd_random
            for facts in (self.forget, self.retain)
        )


class Study(NamedTuple):
    """One simulated study."""

    seeds: list[Arms]
    mu: Floats
    """(S, K, A)."""
    fq: Floats
    """(S, K, A)."""


def rising(speed: float) -> tuple[float, ...]:
    """A smooth rise from 0 to 1 along alpha, half way at alpha = .5 ^ (1 / speed)."""
    t = ALPHAS**speed
    return tuple((t * t * (3 - 2 * t)).tolist())


def power(exponent: float) -> tuple[float, ...]:
    """alpha ^ exponent."""
    return tuple((ALPHAS**exponent).tolist())


FEW = Facts(8, 6, 6, rising(1.0), 0.04, 0.024, 0.024, person=0.2, person_in_trial=0.1)
"""Eight people with six facts, of which 96% are forgotten, in some seeds more and in some less."""
KEPT = Facts(24, 6, 6, power(6.0), 0.02, 0.01, 0.01)
"""Hardly anything else is lost, and that late."""
MINI = Shape("mini", FEW, KEPT)
"""The embedded study: AUES differs between seeds by .034, matched depth by about .001."""
SKEW = Shape("skew", replace(FEW, level=0.03, sd_true=0.012, sd_random=0.07), KEPT)
"""One arm's end FS much more variable, and to one side, as recorded for WGA, NPO and GradDiff."""
LEE = Shape(
    "lee",
    Facts(20, 20, 16, rising(1.0), 0.03, 0.01, 0.01, shared=0.5, item_in_trial=0.5),
    Facts(20, 20, 16, power(1.6), 0.78, 0.06, 0.06, 1.0, person=0.1, person_in_trial=0.19),
    Utility(gain=10.0, gain_sd=1.0, shared=0.5),
)
"""Table 2 of Lee et al. (2025): AUES .7 and seeds whose arms correlate by .75."""
PEOPLE = Shape(
    "people",
    replace(FEW, curve=power(1.0), level=0.15, place=0.055),
    replace(KEPT, curve=power(3.0), level=0.3, person_in_trial=0.05, item_in_trial=0.1, place=0.02),
)
"""The place matters for some people and not for others, zero on average; 85% is forgotten."""
SHAPES = {shape.name: shape for shape in (MINI, SKEW, LEE, PEOPLE)}


def simulate(shape: Shape, seeds: int, rivals: int, generator: np.random.Generator) -> Study:
    """One study of so many seeds, each with its true region and `rivals` random ones."""
    splits = {
        split: strengths(getattr(shape, split), split == "forget", seeds, rivals + 1, generator)
        for split in ("forget", "retain")
    }
    pairs = zip(splits["forget"], splits["retain"], strict=True)
    mu, fq = utilities(shape, seeds, rivals + 1, generator)
    return Study([Arms(forget, retain) for forget, retain in pairs], mu, fq)


def strengths(
    facts: Facts, forgets: bool, seeds: int, arms: int, generator: np.random.Generator
) -> list[Strength]:
    """ES of one split, a `Strength` for each seed."""
    sum_SKPA = item_strengths(facts, forgets, seeds, arms, generator).sum(axis=3)
    names = tuple(f"{'f' if forgets else 'r'}{i:03d}" for i in range(facts.people))
    count_P = np.full(facts.people, float(facts.items))
    return [Strength(names, sum_KPA, count_P) for sum_KPA in sum_SKPA]


def item_strengths(
    facts: Facts, forgets: bool, seeds: int, arms: int, generator: np.random.Generator
) -> Floats:
    """ES of every item of one split: (S, K, P, items of a person, A)."""
    person_P = gamma(facts.person, (facts.people,), generator)
    place_P = generator.normal(0, 1, facts.people) * facts.place
    level_SK = levels(facts, seeds, arms, generator)
    part_SKP = gamma(facts.person_in_trial, (seeds, arms, facts.people), generator)
    part_SKP *= level_SK[:, :, None] * person_P
    share_SKPM = gamma(facts.item_in_trial, (seeds, arms, facts.people, facts.items), generator)
    share_SKPM *= part_SKP[..., None]
    share_SKPM[:, 0] += place_P[:, None]
    np.clip(share_SKPM, 0, 1, out=share_SKPM)
    moved_SKPM = (1 - share_SKPM if forgets else share_SKPM) * facts.tokens
    # Each item has its own place within a token, the same in every trial: rounding has no bias.
    offset_PM = generator.random(share_SKPM.shape[2:])
    moved_SKPMA = moved_SKPM[..., None] * np.array(facts.curve) + offset_PM[..., None]
    return np.asarray(1 - np.floor(moved_SKPMA) / facts.tokens)


def levels(facts: Facts, seeds: int, arms: int, generator: np.random.Generator) -> Floats:
    """(S, K) lognormal shares left or lost, correlated within a seed."""
    z = correlated(facts.shared, seeds, arms, generator)
    sd_K = np.array([facts.sd_true] + [facts.sd_random] * (arms - 1))
    log_sd_K = np.sqrt(np.log1p((sd_K / facts.level) ** 2))
    return np.minimum(MOST, facts.level * np.exp(log_sd_K * z - log_sd_K**2 / 2))


def utilities(
    shape: Shape, seeds: int, arms: int, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """MU and FQ (S, K, A) along alpha."""
    told, fall, rise = shape.utility, np.array(shape.retain.curve), np.array(shape.forget.curve)
    drop = told.drop + told.drop_sd * correlated(told.shared, seeds, arms, generator)
    gain = told.gain + told.gain_sd * correlated(told.shared, seeds, arms, generator)
    mu = told.start * (1 - drop[..., None] * fall)
    fq = told.fq_start + gain[..., None] * rise
    mu[..., 1:] += generator.normal(0, 0.002, mu[..., 1:].shape)
    fq[..., 1:] += generator.normal(0, told.noise, fq[..., 1:].shape)
    return mu, fq


def correlated(shared: float, seeds: int, arms: int, generator: np.random.Generator) -> Floats:
    """(S, K) standard normal values, those of one seed correlated by `shared`."""
    common = generator.normal(0, 1, (seeds, 1))
    own = generator.normal(0, 1, (seeds, arms))
    return np.asarray(shared**0.5 * common + (1 - shared) ** 0.5 * own)


def gamma(variation: float, shape: tuple[int, ...], generator: np.random.Generator) -> Floats:
    """Gamma values with mean 1 and this ratio of sd to mean; all 1 where it is 0."""
    if variation == 0:
        return np.ones(shape)
    return generator.gamma(variation**-2, variation**2, shape)
