"""LACUNA: unlearning in the true region erases, so that relearning brings back less."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from lacuna.report.attacks import (
    MEASURES,
    Attack,
    Attacked,
    Read,
    attack_names,
    attack_records,
    control_key,
    levels,
)
from lacuna.report.cells import (
    BASELINE,
    FULL,
    ORACLE,
    Cell,
    Spread,
    StageRows,
    by_parts,
    controls,
    grouped,
    tag,
)
from lacuna.report.claims.family import CLAIMS, Claims, Evidence, Family
from lacuna.report.claims.places import LACUNA, named, scenarios
from lacuna.report.claims.rules import LESS
from lacuna.report.results import Margins, Results
from lacuna.report.scores import chances
from lacuna.results import AttackRecord, Paired, TrialRow
from lacuna.significance import paired

WORKED = 0.9
"""ES of the attacked people from which an attack counts as having worked."""


class Outcome(NamedTuple):
    """One measure of what comes back, and the families it decides."""

    measure: str
    """Its name in `MEASURES`."""
    meaning: str
    erasure: Family
    """Against a random region."""
    beyond: Family
    """Against every other region, and all weights."""


def _outcome(
    measure: str, short: str, meaning: str, margin: Callable[[Margins], float], primary: bool
) -> Outcome:
    families = [
        Family(
            name=f"{name}-{measure}",
            sentence=f"LACUNA, relearning, {short}: less {than}",
            source=LACUNA,
            difference=f"{meaning} of the people not attacked, after the attack, oracle - {rival}",
            upheld=LESS,
            margin=margin,
            primary=first,
        )
        for name, than, rival, first in (
            ("erasure", "comes back with the true region", BASELINE, primary),
            ("beyond", "than with other regions or none", "another scenario", False),
        )
    ]
    return Outcome(measure, meaning, *families)


OUTCOMES = (
    _outcome("logp", "log-probability", "mean log-probability", lambda m: m.logp, True),
    _outcome("es", "extraction", "extraction strength", lambda m: m.es, False),
    _outcome("success", "Success@k", "Success@k", lambda m: m.success, False),
)


def _attacked_es(record: AttackRecord) -> float | None:
    return record["attacked_es_after"]


class Arms(NamedTuple):
    """The true region's cell and a rival's, of one ratio and objective."""

    ratio: float | None
    objective: str | None
    rival: str
    oracle: Cell[TrialRow]
    other: Cell[TrialRow]

    @property
    def cells(self) -> tuple[Cell[TrialRow], Cell[TrialRow]]:
        """Both."""
        return self.oracle, self.other


@CLAIMS.register("erasure")
class Erasure(Claims):
    """Per ratio, objective, relearning attack and outcome.

    Against a random region; in a study of single weights also against every other one, and against
    all weights.
    """

    order = 20
    families = (*(one.erasure for one in OUTCOMES), *(one.beyond for one in OUTCOMES))

    @staticmethod
    def evidence(results: Results) -> Iterator[Evidence]:
        """By cell, rival, attack and outcome."""
        by_weight = bool(chances(results.stages))
        for (ratio, objective), cells in scenarios(results).items():
            rivals = [name for name in cells if name != ORACLE] if by_weight else [BASELINE]
            for rival in rivals:
                arms = Arms(ratio, objective, rival, cells[ORACLE], cells[rival])
                for attack in _relearning(arms):
                    yield from _of_attack(results.stages, arms, attack)


def _relearning(arms: Arms) -> list[Attack]:
    """Attacks that trained on some of the forgotten people, so that others can follow."""
    attacks = {attack for cell in arms.cells for attack in attack_names(cell)}
    return [
        attack
        for attack in sorted(attacks, key=by_parts)
        if any(_known(cell, attack, _attacked_es) for cell in arms.cells)
    ]


def _of_attack(stages: StageRows, arms: Arms, attack: Attack) -> Iterator[Evidence]:
    against = "" if arms.rival == BASELINE else f", against {arms.rival}"
    place = {BASELINE: "a random one", FULL: "all parameters"}
    rate = "" if attack.lr is None else f" (lr {attack.lr:g})"
    for outcome in OUTCOMES:
        after = MEASURES[outcome.measure].after
        asked = any(_known(cell, attack, after) for cell in arms.cells)
        if outcome.measure == "success" and not asked:
            continue
        family = outcome.erasure if arms.rival == BASELINE else outcome.beyond
        yield Evidence(
            family=family,
            about=f"{named(arms.objective, arms.ratio)}, {attack}{against}",
            statement=(
                f"With {arms.objective}, the {outcome.meaning} of the people not attacked is lower "
                f"after {attack.name}{rate} when unlearning was confined to the true "
                f"region than to {place.get(arms.rival, f'the region of {arms.rival}')}."
            ),
            record=_pairs(arms, attack, after),
            keys=[*arms.oracle.keys, *arms.other.keys],
            remarks=_remarks(stages, arms, attack, outcome),
        )


def _known(cell: Cell[Attacked], attack: Attack, read: Read) -> list[float]:
    """What `read` finds in the attack's records, in the finished stages that have it."""
    found = levels(attack_records(cell, attack), read)
    return [value for value in found if value is not None]


def _mean(cell: Cell[Attacked], attack: Attack, read: Read) -> float | None:
    return Spread.over(_known(cell, attack, read)).mean


def _pairs(arms: Arms, attack: Attack, read: Read) -> Paired:
    """Oracle against its rival, paired by seed; a failed trial is a missing value."""
    sides = [cell.paired(levels(attack_records(cell, attack), read)) for cell in arms.cells]
    shared = sorted(seed for seed in {*sides[0], *sides[1]} if seed is not None)
    a, b = ([side.get(seed) for seed in shared] for side in sides)
    return paired(a, b, shared)


def _remarks(stages: StageRows, arms: Arms, attack: Attack, outcome: Outcome) -> str:
    """What a reader needs beside the difference: starting points, controls, a weak attack."""
    read = MEASURES[outcome.measure]
    oracle, other = (_mean(cell, attack, read.before) for cell in arms.cells)
    remarks = ""
    if oracle is not None and other is not None:
        remarks += f" Before the attack: oracle {oracle:.3g}, {arms.rival} {other:.3g}."
    for (_, model), cell in grouped(controls(stages), control_key).items():
        level = _mean(cell, attack._replace(start=None), read.after)
        if level is not None and all(tag(s, "ratio") in (None, arms.ratio) for s in cell.done):
            remarks += f" The {model} model after the same attack: {level:.3g}."
    reached = [_mean(cell, attack, _attacked_es) for cell in arms.cells]
    if any(value is not None and value < WORKED for value in reached):
        words = ", ".join("-" if value is None else f"{value:.2f}" for value in reached)
        remarks += f" The attack was weak: ES of the attacked people {words}."
    return remarks
