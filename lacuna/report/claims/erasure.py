"""LACUNA: unlearning in the true region erases, so that relearning brings back less.

What decides is fixed before any arm is looked at: log-probability of the people not attacked, from
the first start of equal forgetting that the study names, at the highest rate of attack that leaves
the retained control standing (`_primary`). Levels below the retained control's count as the
control's: to know less than a model that never knew is no better erased. The gain over an arm's own
start is secondary, as arms start from different depths.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from lacuna.report.attacks import (
    MEASURES,
    Attack,
    Attacked,
    Levels,
    Read,
    attack_names,
    attack_of,
    attack_records,
    control_key,
    levels,
)
from lacuna.report.cells import (
    BASELINE,
    FULL,
    ORACLE,
    Cell,
    SeedArms,
    Spread,
    StageRows,
    arms_by_seed,
    by_parts,
    controls,
    finished,
    grouped,
    mean_of,
    number,
    tag,
)
from lacuna.report.claims.family import CLAIMS, Claims, Evidence, Family
from lacuna.report.claims.places import LACUNA, named, scenarios
from lacuna.report.results import Margins, Results
from lacuna.report.scores import chances
from lacuna.results import AttackRecord, ControlRow, Paired, TrialRow
from lacuna.seeds import numpy_generator
from lacuna.significance import Assay, arms_paired, t_interval
from lacuna.significance.decide import WORKED

RETAINED = "retained"
"""The control that never knew the facts to forget."""


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
            rule="erases more",
            margin=margin,
            primary=first,
        )
        for name, than, rival, first in (
            ("erasure", "comes back with the true region", BASELINE, primary),
            ("beyond", "than with other regions or none", "another scenario", False),
        )
    ]
    return Outcome(measure, meaning, *families)


GAIN = Family(
    name="erasure-gain",
    sentence="LACUNA, relearning, gain over the own start: less comes back with the true region",
    source=LACUNA,
    difference="gain in mean log-probability of the people not attacked, oracle - random",
    rule="erases more",
    margin=lambda margins: margins.logp,
    primary=False,
)
OUTCOMES = (
    _outcome("logp", "log-probability", "mean log-probability", lambda m: m.logp, True),
    _outcome("es", "extraction", "extraction strength", lambda m: m.es, False),
    _outcome("success", "Success@k", "Success@k", lambda m: m.success, False),
)


def _attacked_es(record: AttackRecord) -> float | None:
    return record["attacked_es_after"]


@dataclass(frozen=True)
class Arms:
    """The true region's cell and its rival's, of one ratio and objective; the retained control."""

    ratio: float | None
    objective: str | None
    rival: str
    oracle: Cell[TrialRow]
    other: Cell[TrialRow]
    control: Cell[ControlRow]

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
    families = (*(one.erasure for one in OUTCOMES), GAIN, *(one.beyond for one in OUTCOMES))

    @staticmethod
    def evidence(results: Results) -> Iterator[Evidence]:
        """By cell, rival, attack and outcome."""
        by_weight = bool(chances(results.stages))
        for (ratio, objective), cells in scenarios(results).items():
            rivals = [name for name in cells if name != ORACLE] if by_weight else [BASELINE]
            control = _control(results.stages, ratio)
            for rival in rivals:
                arms = Arms(ratio, objective, rival, cells[ORACLE], cells[rival], control)
                attacks, primary = _relearning(arms), _primary(results, control)
                if attacks and primary not in attacks and primary is not None:
                    attacks = [primary, *attacks]  # planned: that no arm got there is to be seen
                for attack in attacks:
                    yield from _of_attack(results, arms, attack, attack == primary)
                    yield from _of_gain(arms, attack)


def _control(stages: StageRows, ratio: float | None) -> Cell[ControlRow]:
    """The attacks on retained models, of this ratio or of all."""
    found = grouped(controls(stages), control_key)
    return found.get((ratio, RETAINED), found.get((None, RETAINED), Cell()))


def _relearning(arms: Arms) -> list[Attack]:
    """Attacks that trained on some of the forgotten people, so that others can follow."""
    attacks = {attack for cell in arms.cells for attack in attack_names(cell)}
    return [
        attack
        for attack in sorted(attacks, key=by_parts)
        if any(_known(cell, attack, _attacked_es) for cell in arms.cells)
    ]


def _primary(results: Results, control: Cell[ControlRow]) -> Attack | None:
    """The attack that decides, chosen by the retained control alone; None where none will do.

    From the start that the study names first; through adapters where there are any (as LACUNA
    attacks); the highest rate at which the control learns what it is attacked with and loses at
    most the margin on the others: a rate that ruins the control would ruin every arm.
    """
    able = [a for a in attack_names(control) if _stands(control, a, results.margins.logp)]
    if not able:
        return None
    best = max(able, key=lambda one: (one.name == "lora", one.lr or 0.0))
    return best._replace(start=results.start)


def _stands(control: Cell[ControlRow], attack: Attack, margin: float) -> bool:
    read, learnt = MEASURES["logp"], _mean(control, attack, _attacked_es)
    before, after = _mean(control, attack, read.before), _mean(control, attack, read.after)
    if learnt is None or before is None or after is None:
        return False
    return learnt >= WORKED and after >= before - margin


def _of_attack(
    results: Results, arms: Arms, attack: Attack, is_primary: bool
) -> Iterator[Evidence]:
    against = "" if arms.rival == BASELINE else f", against {arms.rival}"
    place = {BASELINE: "a random one", FULL: "all parameters"}
    rate = "" if attack.lr is None else f" (lr {attack.lr:g})"
    for outcome in OUTCOMES:
        read = MEASURES[outcome.measure]
        asked = any(_known(cell, attack, read.after) for cell in arms.cells)
        if outcome.measure == "success" and not asked:
            continue
        control = _by_seed(arms.control, attack._replace(start=None), read.after)
        yield Evidence(
            family=outcome.erasure if arms.rival == BASELINE else outcome.beyond,
            about=f"{named(arms.objective, arms.ratio)}, {attack}{against}",
            statement=(
                f"With {arms.objective}, the {outcome.meaning} of the people not attacked is lower "
                f"after {attack.name}{rate} when unlearning was confined to the true "
                f"region than to {place.get(arms.rival, f'the region of {arms.rival}')}."
            ),
            record=_pairs(arms, attack, read.after, control),
            keys=[*arms.oracle.keys, *arms.other.keys],
            remarks=_remarks(results.stages, arms, attack, outcome),
            assay=_assay(arms, attack, read, control),
            primary=is_primary,
        )


def _known(cell: Cell[Attacked], attack: Attack, read: Read) -> list[float]:
    """What `read` finds in the attack's records, in the finished stages that have it."""
    found = levels(attack_records(cell, attack), read)
    return [value for value in found if value is not None]


def _mean(cell: Cell[Attacked], attack: Attack, read: Read) -> float | None:
    return Spread.over(_known(cell, attack, read)).mean


def _by_seed(
    control: Cell[ControlRow], attack: Attack, read: Read
) -> Mapping[int | None, float | None]:
    """Seed -> level of the retained control; under None where one control serves all seeds."""
    found = control.paired(levels(attack_records(control, attack), read))
    return {None: next(iter(found.values()))} if len(found) == 1 else found


def _pairs(
    arms: Arms, attack: Attack, read: Read, control: Mapping[int | None, float | None]
) -> Paired:
    """Oracle against its rivals, paired by seed; a failed trial is a missing value."""
    seeds = arms_by_seed(arms.oracle, arms.other)
    rows = [
        [_above_least(_level(stage, attack, read), seed.seed, control) for stage in seed.trials]
        for seed in seeds
    ]
    return _paired(seeds, rows, attack)


def _paired(
    seeds: Sequence[SeedArms], rows: Sequence[Sequence[float | None]], attack: Attack
) -> Paired:
    """The record of each seed's arms, a row each, with why a value is missing."""
    names = [seed.seed for seed in seeds]
    record = arms_paired(rows, names, generator=numpy_generator(0, "blocks", *names))
    why = "undefined" if attack.start is None else f"no mixture has ES {attack.start:g}"
    record["missing"] = [
        "; ".join(seed.missing or [f"seed {seed.seed}: {why}"])
        for seed, row in zip(seeds, rows, strict=True)
        if None in row
    ]
    return record


def _above_least(
    value: float | None, seed: int, control: Mapping[int | None, float | None]
) -> float | None:
    """A level, or the retained control's where that is higher."""
    least = control.get(seed, control.get(None))
    return value if value is None or least is None else max(value, least)


def _of_gain(arms: Arms, attack: Attack) -> Iterator[Evidence]:
    """What came back above each arm's own start; against random regions only."""
    if attack.start is not None or arms.rival != BASELINE:
        return
    read, seeds = MEASURES["logp"], arms_by_seed(arms.oracle, arms.other)
    before, after = (_by_seed(arms.control, attack, one) for one in (read.before, read.after))
    rows = [
        [_gain(stage, attack, read, seed.seed, before, after) for stage in seed.trials]
        for seed in seeds
    ]
    yield Evidence(
        family=GAIN,
        about=f"{named(arms.objective, arms.ratio)}, {attack}",
        statement=(
            f"With {arms.objective}, the mean log-probability of the people not attacked rises "
            f"less by {attack} when unlearning was confined to the true region than to a random "
            f"one."
        ),
        record=_paired(seeds, rows, attack),
        keys=[*arms.oracle.keys, *arms.other.keys],
        assay=replace(_assay(arms, attack, read, after), start_a=None, start_b=None),
    )


def _gain(
    stage: TrialRow,
    attack: Attack,
    read: Levels,
    seed: int,
    before: Mapping[int | None, float | None],
    after: Mapping[int | None, float | None],
) -> float | None:
    """Level after the attack minus the level before, neither below the retained control's."""
    low = _above_least(_level(stage, attack, read.before), seed, before)
    high = _above_least(_level(stage, attack, read.after), seed, after)
    return None if low is None or high is None else high - low


def _level(stage: TrialRow, attack: Attack, read: Read) -> float | None:
    record = attack_of(stage, attack) if finished(stage) else None
    return None if record is None else number(read(record))


def _assay(
    arms: Arms, attack: Attack, read: Levels, control: Mapping[int | None, float | None]
) -> Assay:
    """Whether the attack could have shown a difference between these arms."""
    reached = [_mean(cell, attack, _attacked_es) for cell in arms.cells]
    starts = [_mean(cell, attack, read.before) for cell in arms.cells]
    own = attack.start is None
    return Assay(
        attacked_a=reached[0],
        attacked_b=reached[1],
        above_control=_above(arms, attack, read.after, control),
        start_a=starts[0] if own else None,
        start_b=starts[1] if own else None,
    )


def _above(
    arms: Arms, attack: Attack, read: Read, control: Mapping[int | None, float | None]
) -> list[float] | None:
    """95% interval over seeds of the rival's level minus the retained control's."""
    found = []
    for seed in arms_by_seed(arms.oracle, arms.other):
        rival = mean_of([_level(stage, attack, read) for stage in seed.trials[1:]])
        least = control.get(seed.seed, control.get(None))
        if rival is None or least is None:
            return None
        found.append(rival - least)
    return t_interval(found)


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
    return remarks
