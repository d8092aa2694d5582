"""Attacks as a report reads them: which were made on a cell's models, and what each brought out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from lacuna.report.cells import (
    Cell,
    StageRows,
    TrialKey,
    by_parts,
    controls,
    grouped,
    number,
    tag,
    trials,
)
from lacuna.report.columns import AttackPlace
from lacuna.results import AttackRecord, ControlRow, TrialRow

Attacked = TrialRow | ControlRow
Read = Callable[[AttackRecord], float | None]
CONTROL = "control"
"""Stands in the place of an objective where a model was not unlearned."""


class Levels(NamedTuple):
    """One measure of what the people not attacked still give away, before an attack and after."""

    before: Read
    after: Read


MEASURES: Mapping[str, Levels] = {
    "es": Levels(lambda a: a["others_es_before"], lambda a: a["others_es_after"]),
    "logp": Levels(lambda a: a["others_logp_before"], lambda a: a["others_logp_after"]),
    "success": Levels(lambda a: a["success_before"], lambda a: a["success_after"]),
}


class Attack(NamedTuple):
    """What tells the attacks on one model apart."""

    name: str | None
    lr: float | None
    start: float | None = None
    """Forget level of the mixture that it started from, the same for all; None: its own model."""

    @classmethod
    def of(cls, record: AttackRecord) -> "Attack":
        """The attack that a record is of."""
        matched = record["start_alpha"] is not None
        # Results from before there were several levels hold where each of them started only.
        level = record.get("start_level", record["start_es"]) if matched else None
        return cls(record["attack"], record["lr"], level)

    def __str__(self) -> str:
        rate = "" if self.lr is None else f" lr {self.lr:g}"
        start = "" if self.start is None else f", start at ES {self.start:g}"
        return f"{self.name}{rate}{start}"


def attack_cells(stages: StageRows) -> Iterator[tuple[AttackPlace, Cell[Attacked]]]:
    """Test trials and controls as the cells that attacks are reported for."""
    for key, cell in grouped(trials(stages), TrialKey.of).items():
        yield (
            {
                "ratio": key.ratio,
                "objective": key.objective,
                "scenario": key.scenario,
                "unlearn_lr": key.lr,
            },
            cell,
        )
    for (ratio, model), control in grouped(controls(stages), control_key).items():
        yield (
            {
                "ratio": ratio,
                "objective": CONTROL,
                "scenario": model,
                "unlearn_lr": None,
            },
            control,
        )


def control_key(stage: ControlRow) -> tuple[float | None, str | None]:
    """The ratio and model that controls of one cell share."""
    return tag(stage, "ratio"), tag(stage, "model")


def attack_names(cell: Cell[Attacked]) -> list[Attack]:
    """Every attack that any finished stage of the cell went through."""
    made = {Attack.of(record) for stage in cell.done for record in stage["summary"]["attacks"]}
    return sorted(made, key=by_parts)


def attack_records(cell: Cell[Attacked], attack: Attack) -> list[AttackRecord | None]:
    """The record of an attack in each finished stage; None where it has none."""
    return [attack_of(stage, attack) for stage in cell.done]


def attack_of(stage: Attacked, attack: Attack) -> AttackRecord | None:
    """The record of an attack in a finished stage; None where it has none."""
    return next((r for r in stage["summary"]["attacks"] if Attack.of(r) == attack), None)


def levels(records: Sequence[AttackRecord | None], read: Read) -> list[float | None]:
    """What `read` finds in each record; None where there is none."""
    return [None if record is None else number(read(record)) for record in records]
