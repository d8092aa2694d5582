"""Resurfacing: what attacks bring back, as end levels beside those of a model that never knew."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from typing_extensions import TypedDict

from lacuna.report.attacks import (
    CONTROL,
    MEASURES,
    Attack,
    Attacked,
    Read,
    attack_cells,
    attack_names,
    attack_records,
    levels,
)
from lacuna.report.cells import (
    Cell,
    Spread,
    StageRows,
    controls,
    finished,
    mean_of,
    number,
    tag,
)
from lacuna.report.columns import ATTACK, ATTACK_LR, KEYS, START, STATUS, AttackPlace
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of
from lacuna.significance import paired

UNIT = "as the measure"


class Gap(TypedDict):
    """End levels beside those of the retained model; None where a seed lacks one of them."""

    retained_mean: Annotated[
        float | None,
        Column("Mean level of the model that never knew, after the same attack", UNIT),
    ]
    above_retained: Annotated[
        float | None,
        Column("After the attack, minus the retained model's level, paired by seed", UNIT, "lower"),
    ]
    above_retained_lo: Annotated[
        float | None, Column("Lower end of the 95% t interval of above_retained", UNIT)
    ]
    above_retained_hi: Annotated[
        float | None, Column("Upper end of the 95% t interval of above_retained", UNIT)
    ]


NO_GAP: Gap = {
    "retained_mean": None,
    "above_retained": None,
    "above_retained_lo": None,
    "above_retained_hi": None,
}


class Measured(TypedDict):
    """Levels of one measure over the seeds that have the attack."""

    n: Annotated[int, Column("Seeds whose level is defined", "seeds")]
    seeds: Annotated[list[int | None], Column("Seeds in which the attack was made")]
    measure: Annotated[
        str,
        Column(
            "es: extraction strength; logp: mean log-probability; success: share of the facts that "
            "any of k prompts brings out; all of facts that the attacker did not train on"
        ),
    ]
    k: Annotated[int | None, Column("Prompts per fact, at most, of `success`", "prompts")]
    before_mean: Annotated[float | None, Column("Mean level before the attack", UNIT, "lower")]
    after_mean: Annotated[float | None, Column("Mean level after the attack", UNIT, "lower")]
    after_sd: Annotated[
        float | None, Column("Standard deviation over seeds of the level after the attack", UNIT)
    ]
    after_lo: Annotated[
        float | None, Column("Lower end of the 95% t interval of the mean level after", UNIT)
    ]
    after_hi: Annotated[
        float | None, Column("Upper end of the 95% t interval of the mean level after", UNIT)
    ]


class Made(TypedDict):
    """The attack itself."""

    attack: Annotated[str | None, ATTACK]
    attack_lr: Annotated[float | None, ATTACK_LR]
    start: Annotated[float | None, START]
    status: Annotated[str, STATUS]


class ResurfacingRow(AttackPlace, Made, Measured, Gap):
    """One measure of what one attack brings back from one cell."""

    leaked_overlap: Annotated[
        float | None,
        Column("Jaccard index of the facts leaked before and after; mean over seeds"),
    ]
    attacked_es_after: Annotated[
        float | None,
        Column("Mean extraction strength of the facts the attacker trained on; 1: it works"),
    ]
    start_alpha: Annotated[
        float | None, Column("Matched start: mean weight of the unlearned model in the mixture")
    ]
    start_es: Annotated[
        float | None, Column("Matched start: mean forget extraction strength of the mixture")
    ]
    start_retain_es: Annotated[
        float | None, Column("Matched start: mean retain extraction strength of the mixture")
    ]
    keys: Annotated[list[str], KEYS]


@TABLES.register("resurfacing")
class Resurfacing(StudyTable):
    """Levels after attacks, above those of a model that never knew the facts."""

    order = 80
    title = "Resurfacing"
    note = (
        "Forgotten people that the attack did not train on, before and after it: es (extraction "
        "strength), logp (nats per token), success (share of the facts that any of k prompts "
        "brings out). retained_mean: the model that never knew them, after the same attack. "
        "above_retained: the end level minus that, paired by seed: what only a model that once "
        "knew gives back. A gain alone says little, as unlearned models start below models that "
        "never knew. leaked_overlap: Jaccard index of the facts leaked before and after. matched: "
        "mixed with the injected model (alpha) to the same forget level for all methods; "
        "start_retain_es is what that mixture kept."
    )
    columns = columns_of(ResurfacingRow)
    optional = True

    @staticmethod
    def rows(results: Results) -> Iterator[ResurfacingRow]:
        """By cell, attack and measure; the retained model stands beside every row, not among."""
        for place, cell in attack_cells(results.stages):
            if (place["objective"], place["scenario"]) == (CONTROL, "retained"):
                continue
            for attack in attack_names(cell):
                for measure, read in MEASURES.items():
                    records = attack_records(cell, attack)
                    if any(level is not None for level in levels(records, read.after)):
                        yield _row(results.stages, place, cell, attack, measure)


Ends = Mapping[int | None, float | None]
"""Seed -> level after the attack."""


def _row(
    stages: StageRows, place: AttackPlace, cell: Cell[Attacked], attack: Attack, measure: str
) -> ResurfacingRow:
    records = attack_records(cell, attack)

    def mean(read: Read) -> float | None:
        return Spread.known(levels(records, read)).mean

    return {
        **place,
        "attack": attack.name,
        "attack_lr": attack.lr,
        "start": attack.start,
        "status": cell.status,
        **_measured(cell, attack, measure),
        **_gap(cell, _ends(cell, attack, measure), retained_levels(stages, attack, measure)),
        "leaked_overlap": mean(lambda a: a["leaked_overlap"]),
        "attacked_es_after": mean(lambda a: a["attacked_es_after"]),
        "start_alpha": mean(lambda a: a["start_alpha"]),
        "start_es": mean(lambda a: a["start_es"]),
        "start_retain_es": mean(lambda a: a["start_retain_es"]),
        "keys": cell.keys,
    }


def _ends(cell: Cell[Attacked], attack: Attack, measure: str) -> Ends:
    """Of the seeds that have the attack: a matched start need not exist for all."""
    records, read = attack_records(cell, attack), MEASURES[measure].after
    made = {
        seed: [number(read(record)) for record in own if record is not None]
        for seed, own in zip(cell.seeds, cell.by_seed(records), strict=True)
    }
    return {seed: mean_of(values) for seed, values in made.items() if values}


def _measured(cell: Cell[Attacked], attack: Attack, measure: str) -> Measured:
    records, ends = attack_records(cell, attack), _ends(cell, attack, measure)
    after = Spread.whole([*ends.values(), *(None for _ in cell.failed)])
    return {
        "n": after.n,
        "seeds": list(ends),
        "measure": measure,
        "k": next((r["k"] for r in records if r is not None and r["k"] is not None), None),
        "before_mean": Spread.known(levels(records, MEASURES[measure].before)).mean,
        "after_mean": after.mean,
        "after_sd": after.sd,
        "after_lo": after.lo,
        "after_hi": after.hi,
    }


def _gap(cell: Cell[Attacked], ends: Ends, gold: Ends) -> Gap:
    if (
        cell.failed
        or not ends
        or any(ends[seed] is None or gold.get(seed) is None for seed in ends)
    ):
        return NO_GAP
    record = paired(list(ends.values()), [gold[seed] for seed in ends])
    low, high = record["interval"] or (None, None)
    return {
        "retained_mean": record["mean_b"],
        "above_retained": record["diff"],
        "above_retained_lo": low,
        "above_retained_hi": high,
    }


def retained_levels(stages: StageRows, attack: Attack, measure: str) -> Ends:
    """Levels of the retain-only model after the same attack, from its own start."""
    done = [s for s in controls(stages) if tag(s, "model") == "retained" and finished(s)]
    return _ends(Cell(done), attack._replace(start=None), measure)
