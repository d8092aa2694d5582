"""Erased or hidden: what models know after the target region was exchanged between them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

from typing_extensions import TypedDict

from lacuna.report.attacks import CONTROL
from lacuna.report.cells import (
    Cell,
    CellKey,
    Spread,
    StageRows,
    controls,
    finished,
    grouped,
    tag,
    trials,
)
from lacuna.report.columns import KEYS, OBJECTIVE, RATIO, SCENARIO, SEEDS, N
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, Recorded, StudyTable, columns_of
from lacuna.results import ControlRow, TransplantRecord, TrialRow

SHARE = "share of what injection brought"
RESTORED = f"the model, its target region put back to injected values, knows: {SHARE}"
STORED = f"the retained model knows with this model's target region in it: {SHARE}"
CONTROL_REGION = f"the model, as many weights outside the target put back, knows: {SHARE}"
LOW, HIGH = "Lower end of the 95% t interval of", "Upper end of the 95% t interval of"
Read = Callable[[TransplantRecord], float]
MEASURES: dict[str, Read] = {
    "own": lambda record: record["own_es"],
    "restored": lambda record: record["restored_es"],
    "stored": lambda record: record["stored_es"],
    "control": lambda record: record["control_es"],
}
"""What is asked of each exchange."""


class ExchangePlace(TypedDict):
    """One cell, or one model that was not unlearned."""

    ratio: Annotated[float | None, RATIO]
    objective: Annotated[str | None, OBJECTIVE]
    scenario: Annotated[str | None, SCENARIO]
    n: Annotated[int, N]
    seeds: Annotated[list[int | None], SEEDS]


class Exchanged(TypedDict):
    """Shares over seeds."""

    own_mean: Annotated[float | None, Column(f"Mean of what the model itself knows: {SHARE}")]
    restored_mean: Annotated[float | None, Column(f"Mean of what {RESTORED}")]
    restored_lo: Annotated[float | None, Column(f"{LOW} mean restored share", "share")]
    restored_hi: Annotated[float | None, Column(f"{HIGH} mean restored share", "share")]
    restored: Annotated[list[float | None], Column("Restored share by seed", "share")]
    stored_mean: Annotated[float | None, Column(f"Mean of what {STORED}", "", "lower")]
    stored_lo: Annotated[float | None, Column(f"{LOW} mean stored share", "share")]
    stored_hi: Annotated[float | None, Column(f"{HIGH} mean stored share", "share")]
    stored: Annotated[list[float | None], Column("Stored share by seed", "share")]
    control_mean: Annotated[float | None, Column(f"Mean of what {CONTROL_REGION}")]
    control_lo: Annotated[float | None, Column(f"{LOW} mean control share", "share")]
    control_hi: Annotated[float | None, Column(f"{HIGH} mean control share", "share")]
    control: Annotated[list[float | None], Column("Control share by seed", "share")]
    floor_es: Annotated[float | None, Column("Mean forget ES of the retained model: share 0")]
    ceiling_es: Annotated[float | None, Column("Mean forget ES of the injected model: share 1")]


class TransplantRow(ExchangePlace, Exchanged):
    """What was exchanged, and what came of it."""

    keys: Annotated[list[str], KEYS]


@dataclass(frozen=True)
class Exchange:
    """The exchanges of one cell."""

    key: CellKey
    cell: Cell[TrialRow | ControlRow]
    records: list[TransplantRecord | None]
    """Of the finished stages."""

    def shares(self, read: Read) -> dict[int | None, float | None]:
        """Seed -> share; None where a stage failed or has none."""
        return self.cell.paired([record and share_of(record, read) for record in self.records])

    def mean(self, read: Read) -> float | None:
        """Mean of an ES over seeds."""
        return self.cell.spread([record and read(record) for record in self.records]).mean


def share(es: float, floor: float, ceiling: float) -> float | None:
    """(es - floor) / (ceiling - floor); None where injection brought nothing."""
    return (es - floor) / (ceiling - floor) if ceiling > floor else None


def share_of(record: TransplantRecord, read: Read) -> float | None:
    """The share of one of a record's models."""
    return share(read(record), record["floor_es"], record["ceiling_es"])


def exchanges(stages: StageRows) -> Iterator[Exchange]:
    """The exchanges of all cells of trials, then of injected and retained models."""
    for key, cell in grouped(trials(stages), CellKey.of).items():
        records = [stage["summary"].get("transplant") for stage in cell.done]
        if any(records):
            yield Exchange(key, cell, records)
    own = [stage for stage in controls(stages) if tag(stage, "model") == "injected"]
    models = grouped(own, lambda stage: (tag(stage, "ratio"),))
    for (ratio,), stood in models.items():
        for model in ("injected", "retained"):
            found = [stage["summary"].get("transplants", {}).get(model) for stage in stood.done]
            if any(found):
                yield Exchange(CellKey(ratio, CONTROL, model), stood, found)


@TABLES.register("transplant")
class Transplant(StudyTable):
    """What unlearning did to the target region, and what it did elsewhere."""

    order = 44
    title = "Transplant: erased or hidden"
    note = (
        "Target regions exchanged between models at alpha = 1; shares are (forget ES - floor) / "
        "(ceiling - floor), floor the retained and ceiling the injected model. restored: the model "
        "with the true region's injected values; high: only that region was in the way. stored: "
        "the retained model with this model's true region; low: the facts are erased there; high: "
        "they are still there, and hidden by what changed elsewhere. control: the model with as "
        "many weights outside the true region, drawn by seed, put back. By construction: what "
        "changed inside the true region alone has restored 1; what changed outside it alone has "
        "the injected model's stored, which under protocol lee is 1; objective restore inside it "
        "has stored 0. The injected model is 1 throughout under protocol lee; the retained model "
        "has restored 1, and 0 else. What informs is stored inside the true region, restored "
        "outside it, and both for full and for localizers."
    )
    columns = columns_of(TransplantRow)
    recorded = Recorded(("ratio", "objective", "scenario"), ("restored_mean", "stored_mean"), 0.05)
    optional = True

    @staticmethod
    def rows(results: Results) -> Iterator[TransplantRow]:
        """Cells of trials, then the models that were not unlearned."""
        for one in exchanges(results.stages):
            stored = one.shares(MEASURES["stored"])
            yield {
                "ratio": one.key.ratio,
                "objective": one.key.objective,
                "scenario": one.key.scenario,
                "n": Spread.known(stored.values()).n,
                "seeds": list(stored),
                **_shares(one),
                "keys": one.cell.keys,
            }


def _shares(one: Exchange) -> Exchanged:
    own, restored, stored, control = (one.shares(read) for read in MEASURES.values())
    spreads = [Spread.whole(found.values()) for found in (own, restored, stored, control)]
    return {
        "own_mean": spreads[0].mean,
        "restored_mean": spreads[1].mean,
        "restored_lo": spreads[1].lo,
        "restored_hi": spreads[1].hi,
        "restored": list(restored.values()),
        "stored_mean": spreads[2].mean,
        "stored_lo": spreads[2].lo,
        "stored_hi": spreads[2].hi,
        "stored": list(stored.values()),
        "control_mean": spreads[3].mean,
        "control_lo": spreads[3].lo,
        "control_hi": spreads[3].hi,
        "control": list(control.values()),
        "floor_es": one.mean(lambda record: record["floor_es"]),
        "ceiling_es": one.mean(lambda record: record["ceiling_es"]),
    }


def stored_share(stage: TrialRow) -> float | None:
    """What the target region of a finished trial still holds; None where it was not measured."""
    assert finished(stage), "a trial without a result holds nothing"
    record = stage["summary"].get("transplant")
    return record and share_of(record, MEASURES["stored"])
