"""The label that stands beside numbers of checkpoints that are not what they should be.

Either their causal report says that facts are not where they were planted, or the gold standard
recites what it must never have seen.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from lacuna.report.cells import controls, finished, injections, number, of_kind, tag
from lacuna.report.columns import CHECKPOINT
from lacuna.report.results import Results
from lacuna.report.table import Table
from lacuna.results import CausalReport

Reports = Mapping[tuple[object, object], CausalReport]
"""(ratio, seed) of an injected checkpoint -> its report."""
PASSED, FAILED = "localized", "not localized causally"
KNOWS = "gold standard knows the facts"
WARNINGS = (FAILED, KNOWS)
"""What labels begin with that take a number's meaning away."""


@dataclass(frozen=True)
class Labels:
    """What is known of a study's checkpoints."""

    reports: Reports
    """The causal reports that they ship with; none in studies without masks."""
    recited: float | None
    """Forget ES of the retained or base model that recites most, where that is too much."""

    def __bool__(self) -> bool:
        return bool(self.reports) or self.recited is not None

    def of(self, ratio: object, seeds: Iterable[object]) -> str:
        """What stands beside numbers of these seeds; empty where there is nothing to say."""
        here = [seed for seed in seeds if (ratio, seed) in self.reports]
        failed = [str(seed) for seed in here if not self.reports[ratio, seed]["passed"]]
        said = [] if self.recited is None else [f"{KNOWS} (forget ES {self.recited:.3g})"]
        if failed:
            said.append(f"{FAILED} (seed{'s' * (len(failed) > 1)} {', '.join(failed)})")
        elif here:
            said.append(PASSED)
        return "; ".join(said)


def labels(results: Results) -> Labels:
    """Of all checkpoints of a study."""
    known: dict[tuple[object, object], CausalReport] = {
        (tag(stage, "ratio"), tag(stage, "seed")): stage["summary"]["causal"]
        for stage in injections(results.stages)
        if finished(stage) and stage["summary"].get("causal")
    }
    return Labels(known, recited(results))


def recited(results: Results) -> float | None:
    """Forget ES of the model that knows most of those that must know nothing, retained and base;
    None where it is at most the study's floor."""
    innocent = [stage for stage in controls(results.stages) if tag(stage, "model") == "base"]
    stages = [*of_kind(results.stages, "retained"), *innocent]
    summaries = [cast(Mapping[str, float | None], stage.get("summary") or {}) for stage in stages]
    found = [number(summary.get("forget_es")) for summary in summaries]
    most = max((es for es in found if es is not None), default=0.0)
    return most if most > results.floor else None


def labelled(table: Table, known: Labels) -> Table:
    """The table with a column `checkpoint`, if it speaks of checkpoints that have a label."""
    seeds = next((name for name in ("seeds", "seed") if name in table.names), None)
    if not known or seeds is None or (known.recited is None and "ratio" not in table.names):
        return table
    rows = []
    for row in table.rows:
        value = row.get(seeds)
        named = value if isinstance(value, list) else [value]
        rows.append({**row, CHECKPOINT.name: known.of(row.get("ratio"), named) or None})
    others = [column for column in table.columns if column.name != "keys"]
    keys = [column for column in table.columns if column.name == "keys"]
    return replace(table, columns=(*others, CHECKPOINT, *keys), rows=rows)
