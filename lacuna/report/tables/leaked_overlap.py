"""Whether methods leak the same facts: overlap of what relearning brings out of each."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from statistics import fmean
from typing import Annotated

from typing_extensions import TypedDict

from lacuna.attack import jaccard
from lacuna.report.attacks import Attack, Attacked, attack_cells, attack_names, attack_records
from lacuna.report.cells import Cell, Spread, order, tag
from lacuna.report.columns import (
    ATTACK,
    ATTACK_LR,
    KEYS,
    LR,
    OBJECTIVE,
    RATIO,
    SCENARIO,
    START,
    STATUS,
    AttackPlace,
)
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of

Facts = Sequence[Sequence[str]]
"""The facts that the models of one seed leak: one model, or one for each random region."""
Leaks = Mapping[int | None, tuple[Facts, Facts]]
"""Seed -> what leaks from each of two cells."""


class Pair(TypedDict):
    """Two cells under one attack."""

    ratio: Annotated[float | None, RATIO]
    attack: Annotated[str | None, ATTACK]
    attack_lr: Annotated[float | None, ATTACK_LR]
    start: Annotated[float | None, START]
    objective_a: Annotated[str | None, OBJECTIVE]
    scenario_a: Annotated[str | None, SCENARIO]
    unlearn_lr_a: Annotated[float | None, LR]
    objective_b: Annotated[str | None, OBJECTIVE]
    scenario_b: Annotated[str | None, SCENARIO]
    unlearn_lr_b: Annotated[float | None, LR]


class OverlapRow(Pair):
    """What both leak."""

    status: Annotated[str, STATUS]
    n: Annotated[int, Column("Seeds in which either leaks anything", "seeds")]
    seeds: Annotated[list[int | None], Column("Seeds that both cells have")]
    overlap_mean: Annotated[
        float | None,
        Column("Mean over seeds of the Jaccard index of the two sets; 1: the same facts"),
    ]
    overlap_sd: Annotated[
        float | None, Column("Standard deviation over seeds of the Jaccard index")
    ]
    leaked_a: Annotated[float | None, Column("Mean number of facts that a leaks", "facts", "lower")]
    leaked_b: Annotated[float | None, Column("Mean number of facts that b leaks", "facts", "lower")]
    keys: Annotated[list[str], KEYS]


@TABLES.register("leaked_overlap")
class LeakedOverlap(StudyTable):
    """Overlap of leaked facts between cells; no rows where no leaked sets were asked for."""

    order = 90
    title = "Overlap of leaked facts"
    note = (
        "Facts of people the attack did not train on that any of k prompts brings out after it: "
        "Jaccard index of the sets of two models of one seed, mean over seeds (1: the same facts, "
        "0: none in common). n: seeds in which either leaks anything. leaked: how many facts each "
        "leaks, mean over seeds; large sets overlap by chance."
    )
    columns = columns_of(OverlapRow)
    optional = True

    @staticmethod
    def rows(results: Results) -> Iterator[OverlapRow]:
        """By pair of cells and relearning attack."""
        for (here, a), (there, b) in combinations(attack_cells(results.stages), 2):
            if len({here["ratio"], there["ratio"]} - {None}) > 1:
                continue
            for attack in attack_names(a):
                if leaks := _leaks(a, b, attack):
                    yield _row(_pair(here, there, attack), a, b, leaks)


def _pair(here: AttackPlace, there: AttackPlace, attack: Attack) -> Pair:
    return {
        "ratio": there["ratio"] if here["ratio"] is None else here["ratio"],
        "attack": attack.name,
        "attack_lr": attack.lr,
        "start": attack.start,
        "objective_a": here["objective"],
        "scenario_a": here["scenario"],
        "unlearn_lr_a": here["unlearn_lr"],
        "objective_b": there["objective"],
        "scenario_b": there["scenario"],
        "unlearn_lr_b": there["unlearn_lr"],
    }


def _leaks(a: Cell[Attacked], b: Cell[Attacked], attack: Attack) -> Leaks:
    """Of the seeds that both cells have."""
    first, second = _leaked(a, attack), _leaked(b, attack)
    shared = sorted(first.keys() & second.keys(), key=order)
    return {seed: (first[seed], second[seed]) for seed in shared}


def _leaked(cell: Cell[Attacked], attack: Attack) -> Mapping[int | None, Facts]:
    """Seed -> the leaked sets, of attacks that trained on somebody."""
    leaked: dict[int | None, list[Sequence[str]]] = {}
    for stage, record in zip(cell.done, attack_records(cell, attack), strict=True):
        if (
            record is not None
            and record["leaked_after"] is not None
            and record["attacked_es_after"] is not None
        ):
            leaked.setdefault(tag(stage, "seed"), []).append(record["leaked_after"])
    return leaked


def _overlap(first: Facts, second: Facts) -> float | None:
    """Mean Jaccard index over the pairs of models in which either leaks anything; None of none."""
    return Spread.known(jaccard(a, b) for a, b in product(first, second)).mean


def _row(pair: Pair, a: Cell[Attacked], b: Cell[Attacked], leaks: Leaks) -> OverlapRow:
    both = Cell([*a.done, *b.done], [*a.failed, *b.failed])
    known = [index for pair in leaks.values() if (index := _overlap(*pair)) is not None]
    overlap = Spread.whole([*known, *(None for _ in both.failed)])
    first, second = zip(*leaks.values(), strict=True)
    return {
        **pair,
        "status": both.status,
        "n": overlap.n,
        "seeds": list(leaks),
        "overlap_mean": overlap.mean,
        "overlap_sd": overlap.sd,
        "leaked_a": _number(first),
        "leaked_b": _number(second),
        "keys": both.keys,
    }


def _number(leaked: Sequence[Facts]) -> float | None:
    """How many facts leak, mean over seeds."""
    return Spread.over([fmean(map(len, models)) for models in leaked]).mean
