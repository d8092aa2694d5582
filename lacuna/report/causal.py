"""The causal localization report of injected checkpoints, and its label on what stands on them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lacuna.report.base import Row, Table
from lacuna.report.cells import Spread, Stage, Value, fact, number_at, of_kind

Place = tuple[Value, Value]
"""(ratio, seed) of an injected checkpoint."""
PASSED, FAILED = "localized", "not localized causally"


def reports(stages: Sequence[Stage]) -> dict[Place, Mapping[str, Any]]:
    """The reports that checkpoints ship with; none in studies without masks."""
    return {
        (fact(stage, "ratio"), fact(stage, "seed")): stage["summary"]["causal"]
        for stage in of_kind(stages, "injected")
        if (stage.get("summary") or {}).get("causal")
    }


def label(found: Mapping[Place, Mapping[str, Any]], ratio: Value, seeds: Iterable[Any]) -> str:
    """What stands beside numbers of these seeds: empty where their checkpoints have no report."""
    here = [seed for seed in seeds if (ratio, seed) in found]
    failed = [str(seed) for seed in here if not found[ratio, seed]["passed"]]
    if not failed:
        return PASSED if here else ""
    return f"{FAILED} (seed{'s' * (len(failed) > 1)} {', '.join(failed)})"


def labelled(table: Table, found: Mapping[Place, Mapping[str, Any]]) -> Table:
    """The table with a column `checkpoint`, if it speaks of checkpoints and they have reports."""
    seeds = next((name for name in ("seeds", "seed") if name in table.columns), None)
    if not found or seeds is None or "ratio" not in table.columns:
        return table
    rows = []
    for row in table.rows:
        value = row.get(seeds)
        named = value if isinstance(value, list) else [value]
        rows.append({**row, "checkpoint": label(found, row.get("ratio"), named) or None})
    columns = [name for name in table.columns if name != "keys"]
    return replace(table, columns=(*columns, "checkpoint", "keys"), rows=rows)


def causal(stages: Sequence[Stage]) -> Table:
    """A row per injected checkpoint that has a report, passed or not."""
    rows: list[Row] = []
    for stage in of_kind(stages, "injected"):
        found = (stage.get("summary") or {}).get("causal")
        if found:
            place = {name: fact(stage, name) for name in ("ratio", "seed")}
            rows.append(place | _row(found) | {"keys": [stage["key"]]})
    columns = (
        "ratio", "seed", "passed", "label", "es_mean", "es_weakest", "own_highest", "others_keep",
        "others_keep_lowest", "joint_forget_own", "joint_forget_others", "joint_retain_own",
        "joint_retain_others", "perturbed_keep", "neutral_base", "neutral_injected", "people_base",
        "people_injected", "keys",
    )  # fmt: skip
    note = (
        "Does each group's mask hold its facts? es: extraction strength of the groups after "
        "injection. own: of a group whose own mask is put back to base, the highest of all groups. "
        "others_keep: share of their strength that the other groups keep then, mean and lowest "
        "over groups. joint: the same with all forget (or all retain) masks put back together. "
        "perturbed_keep: share that all keep when a group's change, shuffled, is added to as many "
        "weights outside all masks: facts gone by ablation prove nothing where this is low. "
        "neutral: loss on text never trained on; people: strength of those the base model knew. A "
        "checkpoint that fails is labelled wherever its numbers stand."
    )
    return Table("causal", "Causal localization", note, columns, rows)


def _row(found: Mapping[str, Any]) -> dict[str, Any]:
    injected, others = list(found["injected"].values()), found["others"]
    joint = {
        f"joint_{side}_{what}": number_at(found, "joint", side, what)
        for side in ("forget", "retain")
        for what in ("own", "others")
    }
    ends = {
        f"{what}_{model}": number_at(found, what, model)
        for what in ("neutral", "people")
        for model in ("base", "injected")
    }
    return {
        "passed": found["passed"],
        "label": found["label"],
        "es_mean": _mean(injected),
        "es_weakest": min(_whole(injected), default=None),
        "own_highest": max(_whole(found["own"]), default=None),
        "others_keep": _mean(others),
        "others_keep_lowest": min(_whole(others), default=None),
        "perturbed_keep": _mean(found["perturbed"]),
        **joint,
        **ends,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    return Spread.over(_whole(values)).mean


def _whole(values: Sequence[float | None]) -> list[float]:
    """The values, or none at all if one is undefined."""
    present = [value for value in values if value is not None and math.isfinite(value)]
    return present if len(present) == len(values) else []
