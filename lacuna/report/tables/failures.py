"""Every stage without a result, with its reason."""

from collections.abc import Iterator
from typing import Annotated

from typing_extensions import TypedDict

from lacuna.report.cells import finished, tag, without_paths
from lacuna.report.columns import KEYS, LR, OBJECTIVE, RATIO, SCENARIO, SEED
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of


class FailureRow(TypedDict):
    """A stage without a result."""

    kind: Annotated[str, Column("Kind of stage")]
    label: Annotated[str, Column("The stage, as the run's messages name it")]
    objective: Annotated[str | None, OBJECTIVE]
    scenario: Annotated[str | None, SCENARIO]
    localizer: Annotated[
        str | None, Column("Localizer that the stage ran, or several, joined by +")
    ]
    purpose: Annotated[
        str | None, Column("Of a trial: `search` for a learning rate, or `test`, to be reported")
    ]
    ratio: Annotated[float | None, RATIO]
    seed: Annotated[int | None, SEED]
    lr: Annotated[float | None, LR]
    reason: Annotated[str, Column("Why it has no result", long=True)]
    keys: Annotated[list[str], KEYS]


@TABLES.register("failures")
class Failures(StudyTable):
    """Stages of the study that have no result."""

    order = 130
    title = "Failures"
    note = "Their cells read `failed (k of n)` and give no mean."
    columns = columns_of(FailureRow)

    @staticmethod
    def rows(results: Results) -> Iterator[FailureRow]:
        """By kind and label; a stage that several cells share once."""
        failed = {stage["key"]: stage for stage in results.stages if not finished(stage)}.values()
        for stage in sorted(failed, key=lambda s: (s["kind"], s["label"], s["key"])):
            yield {
                "kind": stage["kind"],
                "label": stage["label"],
                "objective": tag(stage, "objective"),
                "scenario": tag(stage, "scenario"),
                "localizer": tag(stage, "localizer"),
                "purpose": tag(stage, "purpose"),
                "ratio": tag(stage, "ratio"),
                "seed": tag(stage, "seed"),
                "lr": tag(stage, "lr"),
                "reason": without_paths(str(stage.get("failed"))),
                "keys": [stage["key"]],
            }
