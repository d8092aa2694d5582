"""What this run planned, reused and trained, per stage kind."""

from collections.abc import Iterator
from typing import Annotated

from typing_extensions import TypedDict

from lacuna.report.cells import finished
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of
from lacuna.results import Row


class WorkRow(TypedDict):
    """A kind of stage."""

    kind: Annotated[str, Column("Kind of stage")]
    distinct: Annotated[int, Column("Different stages that the study consists of", "stages")]
    planned: Annotated[int, Column("Stages that this run asked for", "stages")]
    reused: Annotated[int, Column("Of those, found in the store", "stages")]
    trained: Annotated[int, Column("Of those, computed by this run", "stages")]
    failed: Annotated[int, Column("Different stages that have no result", "stages")]
    seconds: Annotated[
        float, Column("Time that the results took to compute, by whichever run", "s")
    ]


@TABLES.register("work")
class Work(StudyTable):
    """What this run had to do: differs between runs of one study, so it stands beside the page."""

    order = 150
    title = "Work and costs"
    columns = columns_of(WorkRow)
    of_run = True

    @staticmethod
    def rows(results: Results) -> Iterator[WorkRow]:
        """By kind; distinct stages are told apart by their keys."""
        distinct: dict[str, list[Row]] = {}
        for stage in {stage["key"]: stage for stage in results.stages}.values():
            distinct.setdefault(stage["kind"], []).append(stage)
        for kind in sorted({*results.counts, *distinct}):
            counts, stages = results.counts.get(kind, {}), distinct.get(kind, [])
            yield {
                "kind": kind,
                "distinct": len(stages),
                "planned": counts.get("planned", 0),
                "reused": counts.get("reused", 0),
                "trained": counts.get("trained", 0),
                "failed": sum(not finished(stage) for stage in stages),
                "seconds": sum(stage.get("seconds") or 0.0 for stage in stages),
            }

    @classmethod
    def note_for(cls, results: Results) -> str:
        """Whether each distinct injection was trained once: never twice, by this run or before."""
        row = next((row for row in cls.rows(results) if row["kind"] == "injected"), None)
        if row is None:
            return "The study has no injections."
        distinct, trained, reused = row["distinct"], row["trained"], row["reused"]
        counted = (
            f"{trained} injections trained, {reused} reused, {distinct} distinct injection keys"
        )
        if trained == distinct:
            return (
                f"{counted}: the number of injections trained equals the number of distinct keys."
            )
        if trained + reused == distinct:
            return f"{counted}: each key was trained once, here or before."
        return f"{counted}: NOT one per key (a failed injection counts as neither)."
