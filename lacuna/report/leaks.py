"""Whether methods leak the same facts: overlap of what relearning brings out of each."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from lacuna.attack import jaccard
from lacuna.report.base import Row, Table
from lacuna.report.cells import Cell, Spread, Stage, Value, fact, number_at, order
from lacuna.report.evidence import Attack, attack_cells, attack_names, attack_records

PLACE = ("objective", "scenario", "unlearn_lr")


def leaked_overlap(stages: Sequence[Stage]) -> Table:
    """A row per pair of cells and relearning attack; none where no leaked sets were asked for."""
    rows: list[Row] = []
    for (here, a), (there, b) in combinations(attack_cells(stages), 2):
        ratios = {place["ratio"] for place in (here, there)} - {None}
        if len(ratios) > 1:
            continue
        place = {"ratio": next(iter(ratios), None)}
        place |= {f"{name}_a": here[name] for name in PLACE}
        place |= {f"{name}_b": there[name] for name in PLACE}
        for attack in attack_names(a):
            pairs = _pairs(a, b, attack)
            if pairs:
                rows.append(place | _row(a, b, attack, pairs))
    columns = (
        "ratio", "attack", "attack_lr", "start", *(f"{name}_a" for name in PLACE),
        *(f"{name}_b" for name in PLACE), "status", "n", "seeds", "overlap_mean", "overlap_sd",
        "leaked_a", "leaked_b", "keys",
    )  # fmt: skip
    note = (
        "Facts of people the attack did not train on that any of k prompts brings out after it: "
        "Jaccard index of the sets of two models of one seed, mean over seeds (1: the same facts, "
        "0: none in common). n: seeds in which either leaks anything. leaked: how many facts each "
        "leaks, mean over seeds; large sets overlap by chance."
    )
    return Table("leaked_overlap", "Overlap of leaked facts", note, columns, rows)


def _pairs(a: Cell, b: Cell, attack: Attack) -> dict[Value, tuple[Sequence[str], Sequence[str]]]:
    """Seed -> what each cell's model leaks, in the seeds that both have."""
    first, second = _leaked(a, attack), _leaked(b, attack)
    shared = sorted(first.keys() & second.keys(), key=order)
    return {seed: (first[seed], second[seed]) for seed in shared}


def _leaked(cell: Cell, attack: Attack) -> Mapping[Value, Sequence[str]]:
    """Seed -> the leaked set, of attacks that trained on somebody."""
    return {
        fact(stage, "seed"): record["leaked_after"]
        for stage, record in zip(cell.done, attack_records(cell, attack), strict=True)
        if record.get("leaked_after") is not None
        and number_at(record, "attacked_es_after") is not None
    }


def _row(
    a: Cell,
    b: Cell,
    attack: Attack,
    pairs: Mapping[Value, tuple[Sequence[str], Sequence[str]]],
) -> dict[str, Any]:
    both = Cell([*a.done, *b.done], [*a.failed, *b.failed])
    found = [jaccard(*pair) for pair in pairs.values()]
    known = [value for value in found if value is not None]
    spread = Spread(len(known), None, None, None, None) if both.failed else Spread.over(known)
    sizes = [[len(leaked) for leaked in side] for side in zip(*pairs.values(), strict=True)]
    return {
        "attack": attack.name,
        "attack_lr": attack.lr,
        "start": attack.start,
        "status": both.status,
        "n": spread.n,
        "seeds": list(pairs),
        "overlap_mean": spread.mean,
        "overlap_sd": spread.sd,
        "leaked_a": Spread.over(sizes[0]).mean,
        "leaked_b": Spread.over(sizes[1]).mean,
        "keys": both.keys,
    }
