"""What each attack brought back, trial cells first, then the controls."""

from collections.abc import Iterator
from typing import Annotated

from lacuna.report.attacks import (
    MEASURES,
    Attack,
    Attacked,
    attack_cells,
    attack_names,
    attack_records,
    levels,
)
from lacuna.report.cells import Cell
from lacuna.report.columns import (
    ATTACK,
    ATTACK_LR,
    KEYS,
    SEEDS,
    START,
    STATUS,
    AttackPlace,
)
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of

ES = "extraction strength of the facts to forget that the attacker did not train on"
LOGP = "log-probability of the facts to forget that the attacker did not train on"
NATS = "nats per token"


class AttackRow(AttackPlace):
    """An attack on the models of one cell."""

    attack: Annotated[str | None, ATTACK]
    attack_lr: Annotated[float | None, ATTACK_LR]
    start: Annotated[float | None, START]
    status: Annotated[str, STATUS]
    n: Annotated[int, Column("Seeds in which the attack was made", "seeds")]
    seeds: Annotated[list[int | None], SEEDS]
    n_others: Annotated[
        list[int | None],
        Column("Facts measured, by seed: to forget, and not trained on by the attacker"),
    ]
    attacked_es_after: Annotated[
        float | None,
        Column("Mean extraction strength of the facts the attacker trained on; 1: it works"),
    ]
    es_before_mean: Annotated[float | None, Column(f"Before the attack: mean {ES}", "", "lower")]
    es_before_sd: Annotated[float | None, Column(f"Before the attack: sd over seeds of {ES}")]
    es_after_mean: Annotated[float | None, Column(f"After the attack: mean {ES}", "", "lower")]
    es_after_sd: Annotated[float | None, Column(f"After the attack: sd over seeds of {ES}")]
    logp_before_mean: Annotated[
        float | None, Column(f"Before the attack: mean {LOGP}", NATS, "lower")
    ]
    logp_before_sd: Annotated[
        float | None, Column(f"Before the attack: sd over seeds of {LOGP}", NATS)
    ]
    logp_after_mean: Annotated[
        float | None, Column(f"After the attack: mean {LOGP}", NATS, "lower")
    ]
    logp_after_sd: Annotated[
        float | None, Column(f"After the attack: sd over seeds of {LOGP}", NATS)
    ]
    logp_gain_mean: Annotated[float | None, Column(f"After minus before: mean {LOGP}", NATS)]
    logp_gain_sd: Annotated[
        float | None, Column(f"After minus before: sd over seeds of {LOGP}", NATS)
    ]
    keys: Annotated[list[str], KEYS]


@TABLES.register("attacks")
class Attacks(StudyTable):
    """Levels before and after every attack, of the facts that the attacker did not train on."""

    order = 70
    title = "Attacks"
    note = (
        "es and logp are of the others: forget items of people the attack did not train on "
        "(logp: mean log-probability, nats per token). Read the level after the attack beside the "
        "controls: `retained` never saw the facts, `injected` was never unlearned. "
        "attacked_es_after near 1 shows that the attack works."
    )
    columns = columns_of(AttackRow)

    @staticmethod
    def rows(results: Results) -> Iterator[AttackRow]:
        """By cell and attack; a cell without any keeps a row, for its status."""
        for place, cell in attack_cells(results.stages):
            for attack in attack_names(cell) or [Attack(None, None)]:
                yield _row(place, cell, attack)


def _row(place: AttackPlace, cell: Cell[Attacked], attack: Attack) -> AttackRow:
    records = attack_records(cell, attack)
    made = [next(filter(None, own), None) for own in cell.by_seed(records)]
    before = levels(records, MEASURES["logp"].before)
    after = levels(records, MEASURES["logp"].after)
    pairs = zip(before, after, strict=True)
    gain = cell.spread([None if a is None or b is None else b - a for a, b in pairs])
    es_before = cell.spread(levels(records, MEASURES["es"].before))
    es_after = cell.spread(levels(records, MEASURES["es"].after))
    logp_before, logp_after = cell.spread(before), cell.spread(after)
    return {
        **place,
        "attack": attack.name,
        "attack_lr": attack.lr,
        "start": attack.start,
        "status": cell.status,
        "n": sum(record is not None for record in made),
        "seeds": cell.seeds,
        "n_others": [record and record["n_others"] for record in made],
        "attacked_es_after": cell.spread(levels(records, lambda a: a["attacked_es_after"])).mean,
        "es_before_mean": es_before.mean,
        "es_before_sd": es_before.sd,
        "es_after_mean": es_after.mean,
        "es_after_sd": es_after.sd,
        "logp_before_mean": logp_before.mean,
        "logp_before_sd": logp_before.sd,
        "logp_after_mean": logp_after.mean,
        "logp_after_sd": logp_after.sd,
        "logp_gain_mean": gain.mean,
        "logp_gain_sd": gain.sd,
        "keys": cell.keys,
    }
