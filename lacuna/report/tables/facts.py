"""Facts: which kinds of them profit from the true region, at equal depth of forgetting."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from lacuna.report.cells import (
    ALIKE,
    BASELINE,
    ORACLE,
    Cell,
    CellKey,
    SeedArms,
    StageRows,
    alike_by_seed,
    arms_by_seed,
    grouped,
    number,
    trials,
)
from lacuna.report.columns import KEYS, OBJECTIVE, RATIO, N
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of
from lacuna.results import Asked, Paired, TrialSummary
from lacuna.significance import holm, p_value, paired, two_way_t
from lacuna.significance.matched import at_level, common_depth
from lacuna.significance.seeds import by_two_way

Split = Literal["forget", "retain"]
SPLITS: tuple[Split, ...] = ("forget", "retain")
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
EVEN = 1e-9
"""Differences up to it are rounding."""


class FactRow(TypedDict):
    """One group of facts of one objective."""

    ratio: Annotated[float | None, RATIO]
    objective: Annotated[str | None, OBJECTIVE]
    scenario: Annotated[
        str,
        Column(f"Compared with random regions: `{ORACLE}`, or `{ALIKE}`, the first of them"),
    ]
    split: Annotated[str, Column("forget: a lower ES is better; retain: a higher one is")]
    by: Annotated[
        str,
        Column("Grouped by: field of the question, length of the answer, or held (ES before)"),
    ]
    group: Annotated[str, Column("Which facts of the split")]
    n: Annotated[int, N]
    facts: Annotated[float | None, Column("Facts of the group, mean over seeds", "facts")]
    diff: Annotated[
        float | None, Column("Mean ES of the group, the scenario's minus that of random regions")
    ]
    diff_lo: Annotated[float | None, Column("Lower end of its 95% interval", "ES")]
    diff_hi: Annotated[float | None, Column("Upper end of its 95% interval", "ES")]
    interval_method: Annotated[
        str | None, Column("`two-way t` over seeds and people, or `t`: Student's t over seeds")
    ]
    better: Annotated[
        float | None,
        Column("Facts better in the scenario than in random regions, mean over seeds", "share"),
    ]
    worse: Annotated[float | None, Column("Facts that are worse there; the rest is even", "share")]
    p: Annotated[float | None, Column("Two-sided, by the t of the interval")]
    p_holm: Annotated[
        float | None, Column("The same for all groups of the objective together (Holm)")
    ]
    keys: Annotated[list[str], KEYS]


@dataclass(frozen=True)
class SeedFacts:
    """One split of one seed, read where all arms have forgotten as much. I facts."""

    seed: int
    at_depth: Floats | None
    """(2, I) ES in the first arm, and the mean of its rivals; None without a common depth."""
    people: Sequence[str]
    kinds: Mapping[str, Sequence[str | None]]
    """What facts are grouped by -> the group of each; None: unknown."""

    def members(self, by: str, group: str) -> Flags:
        """(I,) whether a fact is in the group, and defined in both."""
        kinds = self.kinds.get(by)
        if kinds is None or self.at_depth is None:
            return np.zeros(len(self.people), bool)
        return np.array([kind == group for kind in kinds]) & ~np.isnan(self.at_depth).any(axis=0)


@TABLES.register("facts")
class Facts(StudyTable):
    """Who profits from the place."""

    order = 43
    title = "Facts"
    note = (
        "Extraction strength of groups of facts at the depth that all arms of a seed reach, the "
        "true region minus the mean of its random regions. At equal depth the mean over all facts "
        "to forget is the same in all arms, so theirs says which are forgotten before the others. "
        "Exploratory: many groups are looked at, and p_holm is for all groups of an objective. "
        "Groups are made of what is known of facts, and every seed has each; a single one is left "
        "out. length is split at the median; held: whether the injected model recited the answer. "
        "The interval takes the depth as given. "
        f"`{ALIKE}`: each seed's first random region against its others; none holds the facts."
    )
    columns = columns_of(FactRow)
    optional = True

    @staticmethod
    def rows(results: Results) -> Iterator[FactRow]:
        """By objective, split, grouping and group; the A/A comparison after the true region."""
        asked = {record["seed"]: record for record in results.asked}
        for key, keys, arms in _compared(results.stages):
            found = [row for split in SPLITS for row in _rows(key, keys, arms, split, asked)]
            for row, corrected in zip(found, holm([row["p"] for row in found]), strict=True):
                yield {**row, "p_holm": corrected}


def _compared(stages: StageRows) -> Iterator[tuple[CellKey, list[str], list[SeedArms]]]:
    cells = grouped(trials(stages), CellKey.of)
    for key, cell in cells.items():
        rivals = cells.get(key._replace(scenario=BASELINE), Cell())
        if key.scenario == ORACLE and (arms := arms_by_seed(cell, rivals)):
            yield key, [*cell.keys, *rivals.keys], arms
        if cell is rivals and (alike := alike_by_seed(cell)):
            yield key._replace(scenario=ALIKE), cell.keys, alike


def _rows(
    key: CellKey,
    keys: list[str],
    arms: Sequence[SeedArms],
    split: Split,
    asked: Mapping[int, Asked],
) -> Iterator[FactRow]:
    limit = _median_words(asked.values(), split)
    seeds = [_read(one, split, asked.get(one.seed), limit) for one in arms]
    for by in ("field", "length", "held"):
        groups = _groups(seeds, by)
        for group in groups if len(groups) > 1 else ():
            members = [seed.members(by, group) for seed in seeds]
            record = _record(seeds, members, split)
            low, high = record["interval"] or (None, None)
            yield {
                "ratio": key.ratio,
                "objective": key.objective,
                "scenario": str(key.scenario),
                "split": split,
                "by": by,
                "group": group,
                "n": record["n_seeds"],
                "facts": fmean(int(own.sum()) for own in members),
                "diff": record["diff"],
                "diff_lo": low,
                "diff_hi": high,
                "interval_method": None if low is None else record["interval_method"],
                "better": _share(seeds, members, -1 if split == "forget" else 1),
                "worse": _share(seeds, members, 1 if split == "forget" else -1),
                "p": p_value(record),
                "p_holm": None,
                "keys": keys,
            }


def _groups(seeds: Sequence[SeedFacts], by: str) -> list[str]:
    """Those that every seed has facts of; a seed without a result has no say."""
    found = [{*seed.kinds.get(by, ())} - {None} for seed in seeds if seed.kinds]
    return sorted(str(group) for group in set.intersection(*found)) if found else []


def _read(one: SeedArms, split: Split, asked: Asked | None, limit: int) -> SeedFacts:
    """One seed's split; facts without a depth where an arm failed or none is common."""
    if one.missing:
        return SeedFacts(one.seed, None, (), {})
    first = one.summaries[0]
    people = first["people_forget"] if split == "forget" else first["people_retain"]
    es = np.array([_strengths(summary, split) for summary in one.summaries], float)  # (K, A, I)
    kinds: dict[str, list[str | None]] = {
        "held": ["whole" if value == 1 else "in part" for value in es[0, 0]]
    }
    questions = asked and asked[split]
    if questions and len(questions["field"]) == len(people):
        kinds["field"] = [*questions["field"]]
        kinds["length"] = [_length(words, limit) for words in questions["words"]]
    return SeedFacts(one.seed, _at_depth(one.summaries, es), people, kinds)


def _strengths(summary: TrialSummary, split: Split) -> list[list[float]]:
    return summary["es_forget"] if split == "forget" else summary["es_retain"]


def _at_depth(summaries: Sequence[TrialSummary], es: Floats) -> Floats | None:
    fs = np.array([summary["curve"]["fs"] for summary in summaries], float)  # (K, A)
    depth = common_depth(fs)
    if depth <= fs[:, 0].max():
        return None
    found = at_level(fs[:, None], es.transpose(0, 2, 1), depth)
    return np.stack([found[0], found[1:].mean(axis=0)])


def _median_words(asked: Iterable[Asked], split: Split) -> int:
    """Of the answers of all seeds, in whole words; 0 where nothing is known of them."""
    known = [words for one in asked for words in one[split]["words"] if words is not None]
    return int(median(known)) if known else 0


def _length(words: int | None, limit: int) -> str | None:
    if words is None:
        return None
    return f"up to {limit} words" if words <= limit else f"more than {limit} words"


def _record(seeds: Sequence[SeedFacts], members: Sequence[Flags], split: Split) -> Paired:
    """The group's mean ES in both arms, over seeds, and over people where all seeds have them."""

    def mean(arm: int) -> list[float | None]:
        return [
            number(float(seed.at_depth[arm, own].mean()))
            if seed.at_depth is not None and own.any()
            else None
            for seed, own in zip(seeds, members, strict=True)
        ]

    record: Paired = {**paired(mean(0), mean(1), [seed.seed for seed in seeds])}
    people = [_influence(seed, own) for seed, own in zip(seeds, members, strict=True)]
    shared = {tuple(names) for names, _ in people}
    if not record["missing"] and len(seeds) > 1 and len(shared) == 1 and len(people[0][0]) > 1:
        deltas = np.subtract(record["values_a"], record["values_b"])  # type: ignore[arg-type]
        by_two_way(record, two_way_t(deltas, {split: np.stack([pull for _, pull in people])}))
    return record


def _influence(seed: SeedFacts, own: Flags) -> tuple[list[str], Floats]:
    """The group's people, and how far each pulls its mean difference: (P - 1)(all - all but one).

    The depth is taken as given.
    """
    if seed.at_depth is None or not own.any():
        return [], np.empty(0)
    names, person = np.unique(np.asarray(seed.people)[own], return_inverse=True)
    difference = (seed.at_depth[0] - seed.at_depth[1])[own]
    total, count = (np.bincount(person, weights) for weights in (difference, np.ones(own.sum())))
    if len(names) < 2:
        return names.tolist(), np.empty(0)
    without = (total.sum() - total) / (count.sum() - count)
    return names.tolist(), (len(names) - 1) * (difference.mean() - without)


def _share(seeds: Sequence[SeedFacts], members: Sequence[Flags], sign: int) -> float | None:
    """Facts whose difference has the sign, mean over seeds; None where a seed has none of them."""
    found: list[float] = []
    for seed, own in zip(seeds, members, strict=True):
        if seed.at_depth is None or not own.any():
            return None
        difference = (seed.at_depth[0] - seed.at_depth[1])[own]
        found.append(float((sign * difference > EVEN).mean()))
    return fmean(found)
