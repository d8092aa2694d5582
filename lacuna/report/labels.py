"""The label that stands beside numbers of checkpoints with a causal localization report."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from lacuna.report.cells import StageRows, finished, injections, tag
from lacuna.report.columns import CHECKPOINT
from lacuna.report.table import Table
from lacuna.results import CausalReport

Reports = Mapping[tuple[object, object], CausalReport]
"""(ratio, seed) of an injected checkpoint -> its report."""
PASSED, FAILED = "localized", "not localized causally"


def reports(stages: StageRows) -> Reports:
    """The reports that checkpoints ship with; none in studies without masks."""
    return {
        (tag(stage, "ratio"), tag(stage, "seed")): stage["summary"]["causal"]
        for stage in injections(stages)
        if finished(stage) and stage["summary"].get("causal")
    }


def label(known: Reports, ratio: object, seeds: Iterable[object]) -> str:
    """What stands beside numbers of these seeds: empty where their checkpoints have no report."""
    here = [seed for seed in seeds if (ratio, seed) in known]
    failed = [str(seed) for seed in here if not known[ratio, seed]["passed"]]
    if not failed:
        return PASSED if here else ""
    return f"{FAILED} (seed{'s' * (len(failed) > 1)} {', '.join(failed)})"


def labelled(table: Table, known: Reports) -> Table:
    """The table with a column `checkpoint`, if it speaks of checkpoints and they have reports."""
    seeds = next((name for name in ("seeds", "seed") if name in table.names), None)
    if not known or seeds is None or "ratio" not in table.names:
        return table
    rows = []
    for row in table.rows:
        value = row.get(seeds)
        named = value if isinstance(value, list) else [value]
        rows.append({**row, CHECKPOINT.name: label(known, row.get("ratio"), named) or None})
    others = [column for column in table.columns if column.name != "keys"]
    keys = [column for column in table.columns if column.name == "keys"]
    return replace(table, columns=(*others, CHECKPOINT, *keys), rows=rows)
