"""Resurfacing: what attacks bring back, as end levels beside those of a model that never knew."""

from collections.abc import Mapping, Sequence
from typing import Any

from lacuna.report.base import Row, Table
from lacuna.report.cells import Cell, Spread, Stage, fact, grouped, number_at, of_kind
from lacuna.report.evidence import Attack, attack_cells, attack_names, attack_records
from lacuna.significance import paired

MEASURES = {
    "es": ("others_es_before", "others_es_after"),
    "logp": ("others_logp_before", "others_logp_after"),
    "success": ("success_before", "success_after"),
}


def resurfacing(stages: Sequence[Stage]) -> Table:
    """A row per cell, attack and measure."""
    rows: list[Row] = []
    for place, cell in attack_cells(stages):
        if place["objective"] == "control" and place["scenario"] == "retained":
            continue  # stands beside every row
        for attack in attack_names(cell):
            for measure, (before, after) in MEASURES.items():
                levels = [number_at(record, after) for record in attack_records(cell, attack)]
                if any(level is not None for level in levels):
                    row = _levels(stages, cell, attack, before, after)
                    rows.append(place | _attack(cell, attack) | {"measure": measure} | row)
    columns = (
        "ratio", "objective", "scenario", "unlearn_lr", "attack", "attack_lr", "start", "status",
        "n", "seeds", "measure", "k", "before_mean", "after_mean", "after_sd", "after_lo",
        "after_hi", "retained_mean", "above_retained", "above_retained_lo", "above_retained_hi",
        "leaked_overlap", "attacked_es_after", "start_alpha", "start_es", "start_retain_es", "keys",
    )  # fmt: skip
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
    return Table("resurfacing", "Resurfacing", note, columns, rows)


def _attack(cell: Cell, attack: Attack) -> dict[str, Any]:
    found = attack_records(cell, attack)
    means = ("leaked_overlap", "attacked_es_after", "start_alpha", "start_es", "start_retain_es")
    return {
        "attack": attack.name,
        "attack_lr": attack.lr,
        "start": attack.start,
        "status": cell.status,
        "seeds": [fact(s, "seed") for s, record in zip(cell.done, found, strict=True) if record],
        "k": next((record["k"] for record in found if record.get("k") is not None), None),
        **{name: _mean([number_at(record, name) for record in found]) for name in means},
        "keys": cell.keys,
    }


def _levels(
    stages: Sequence[Stage], cell: Cell, attack: Attack, before: str, after: str
) -> dict[str, Any]:
    """Levels of the seeds that have the attack: a matched start need not exist for all."""
    found = attack_records(cell, attack)
    ends = {
        fact(stage, "seed"): number_at(record, after)
        for stage, record in zip(cell.done, found, strict=True)
        if record
    }
    present = [value for value in ends.values() if value is not None]
    whole = not cell.failed and len(present) == len(ends)
    spread = Spread.over(present) if whole else Spread(len(present), None, None, None, None)
    row: dict[str, Any] = {"n": spread.n, **spread.columns("after_")}
    row["before_mean"] = _mean([number_at(record, before) for record in found if record])
    gold = retained_levels(stages, attack, after)
    shared = [seed for seed in ends if gold.get(seed) is not None]
    if whole and shared and len(shared) == len(ends):
        gap = paired([ends[s] for s in shared], [gold[s] for s in shared])
        low, high = gap["interval"] or (None, None)
        row |= {"retained_mean": gap["mean_b"], "above_retained": gap["diff"]}
        row |= {"above_retained_lo": low, "above_retained_hi": high}
    return row


def retained_levels(
    stages: Sequence[Stage], attack: Attack, after: str
) -> Mapping[Any, float | None]:
    """Seed -> level of the retain-only model after the same attack, from its own start."""
    levels: dict[Any, float | None] = {}
    for (model,), cell in grouped(of_kind(stages, "control"), "model").items():
        if model == "retained":
            found = attack_records(cell, attack._replace(start=None))
            for stage, record in zip(cell.done, found, strict=True):
                levels[fact(stage, "seed")] = number_at(record, after)
    return levels


def _mean(values: Sequence[float | None]) -> float | None:
    return Spread.over([value for value in values if value is not None]).mean
