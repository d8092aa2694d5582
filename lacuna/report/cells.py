"""From stages to cells: which stages belong to one table cell, and what to say when some failed."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast, get_args, overload

import numpy as np
import scipy

from lacuna.report.columns import Place
from lacuna.results import (
    ControlRow,
    InjectedRow,
    LocalizedRow,
    Row,
    ScenarioComparison,
    SearchRow,
    StageRow,
    TrialRow,
    TrialSummary,
)

Value = str | float | None
StageRows = Sequence[Row]
BASELINE = "random"
"""The scenario that every other one is compared with: it looks at no fact."""
UNIFORM = "uniform"
"""The scenario of a region drawn anywhere, the masks of other facts included."""
ALIKE = "random again"
"""The first of a seed's random regions, compared with the others: an A/A comparison."""
ORACLE = "oracle"
"""The scenario of the true region."""
FULL = "full"
"""The scenario in which every weight may change."""
Words = Literal["objective", "scenario", "localizer", "purpose", "model", "validation"]
Counts = Literal["seed", "turn", "rung", "region"]
Numbers = Literal["ratio", "lr"]
COUNTS, NUMBERS = frozenset(get_args(Counts)), frozenset(get_args(Numbers))
R = TypeVar("R", bound=StageRow)
R_co = TypeVar("R_co", bound=StageRow, covariant=True)
T = TypeVar("T")
K = TypeVar("K", bound=tuple[Value, ...])


@overload
def tag(stage: StageRow, name: Words) -> str | None: ...
@overload
def tag(stage: StageRow, name: Counts) -> int | None: ...
@overload
def tag(stage: StageRow, name: Numbers) -> float | None: ...
def tag(stage: StageRow, name: str) -> Value:
    """What a stage is (objective, seed, lr, ...): from its summary, else from its tags.

    Tags are text, so those that count are read as numbers: a failed stage, which has no summary,
    falls into the same cell as its finished siblings. The ratio is the one asked for, which is in
    the tags; a summary holds the share of whole vectors that came out. None where neither knows.
    """
    summary = cast(Mapping[str, Any], stage.get("summary") or {})
    places: list[Mapping[str, Any]] = [summary, stage.get("tags") or {}]
    if name == "ratio":
        places.reverse()
    value = next((place[name] for place in places if place.get(name) not in (None, "")), None)
    if value is None:
        return None
    if name in NUMBERS:
        return float(value)
    return int(float(value)) if name in COUNTS else str(value)


def finished(stage: StageRow) -> bool:
    """Whether the stage has a result."""
    return stage.get("summary") is not None


def region_of(stage: StageRow) -> int:
    """Which of its seed's random regions a stage is about; 1 where it has no other."""
    return tag(stage, "region") or 1


def of_kind(stages: Iterable[R], kind: str) -> list[R]:
    """The stages of one kind, in the order of their seeds, regions and keys."""
    chosen = [stage for stage in stages if cast(Row, stage)["kind"] == kind]
    return sorted(chosen, key=lambda s: (order(tag(s, "seed")), region_of(s), s["key"]))


def trials(stages: Iterable[Row]) -> list[TrialRow]:
    """The trials that are reported, on the test seeds."""
    return cast(
        list[TrialRow], [s for s in of_kind(stages, "trial") if tag(s, "purpose") == "test"]
    )


def searches(stages: Iterable[Row]) -> list[SearchRow]:
    """The trials that chose learning rates, on the tuning seeds."""
    chosen = [s for s in of_kind(stages, "trial") if tag(s, "purpose") == "search"]
    return cast(list[SearchRow], chosen)


def controls(stages: Iterable[Row]) -> list[ControlRow]:
    """The attacks on models that were not unlearned."""
    return cast(list[ControlRow], of_kind(stages, "control"))


def injections(stages: Iterable[Row]) -> list[InjectedRow]:
    """The injected models."""
    return cast(list[InjectedRow], of_kind(stages, "injected"))


def localizations(stages: Iterable[Row]) -> list[LocalizedRow]:
    """The localizers' regions."""
    return cast(list[LocalizedRow], of_kind(stages, "localized"))


def order(value: Value) -> tuple[int, float, str]:
    """A sort key for mixed values: None, then numbers, then text."""
    if value is None:
        return (0, 0.0, "")
    return (2, 0.0, value) if isinstance(value, str) else (1, float(value), "")


def number(value: float | None) -> float | None:
    """A finite number, or None."""
    return None if value is None or not math.isfinite(value) else float(value)


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean; None where one is undefined, or there is none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


@dataclass(frozen=True)
class Spread:
    """Mean, sample sd and 95% t interval of the mean over n seeds; sd and interval need n > 1."""

    n: int
    mean: float | None = None
    sd: float | None = None
    lo: float | None = None
    hi: float | None = None

    @classmethod
    def over(cls, values: Sequence[float]) -> "Spread":
        """Summarise `values`; all None when there are none or one is not finite."""
        n = len(values)
        if n == 0 or not all(map(math.isfinite, values)):
            return cls(n)
        mean = float(np.mean(values))
        if n == 1:
            return cls(1, mean)
        sd = float(np.std(values, ddof=1))
        half = float(scipy.stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n)
        return cls(n, mean, sd, mean - half, mean + half)

    @classmethod
    def whole(cls, values: Iterable[float | None]) -> "Spread":
        """Summarise `values` if all are defined; else only count those that are."""
        listed = list(values)
        found = cls.known(listed)
        return found if found.n == len(listed) else cls(found.n)

    @classmethod
    def known(cls, values: Iterable[float | None]) -> "Spread":
        """Summarise those of `values` that are defined."""
        return cls.over([value for value in values if value is not None])


@dataclass(frozen=True)
class Cell(Generic[R_co]):
    """The stages of one table cell: `done` finished, `failed` did not.

    A seed of the scenario `random` has a stage for each of its random regions, and still is one
    seed: its number is the mean over them.
    """

    done: Sequence[R_co] = ()
    failed: Sequence[R_co] = ()

    @property
    def status(self) -> str:
        """`ok`, or `failed (k of n)` as soon as one of its n stages failed."""
        if not self.failed:
            return "ok"
        return f"failed ({len(self.failed)} of {len(self.done) + len(self.failed)})"

    @property
    def keys(self) -> list[str]:
        """Keys of all stages of the cell, finished or not: where its number comes from."""
        return [stage["key"] for stage in [*self.done, *self.failed]]

    @property
    def seeds(self) -> list[int | None]:
        """Seeds of the finished stages, each once (in a search, once per validation field)."""
        return [tag(stages[0], "seed") for stages in self.by_seed(self.done)]

    def by_seed(self, found: Sequence[T]) -> list[list[T]]:
        """What was found in each finished stage, put together by seed in the order of regions.

        In a search each validation field of a seed has a list of its own.
        """
        seeds: dict[tuple[int | None, str | None], list[T]] = {}
        for stage, one in zip(self.done, found, strict=True):
            seeds.setdefault((tag(stage, "seed"), tag(stage, "validation")), []).append(one)
        return list(seeds.values())

    def values(self, read: Callable[[R_co], float | None]) -> list[float | None]:
        """The number that `read` finds in every finished stage; None where it is not finite."""
        return [number(read(stage)) for stage in self.done]

    def means(self, values: Sequence[float | None]) -> list[float | None]:
        """From a number of every finished stage one of each seed: the mean over its regions."""
        return [mean_of(own) for own in self.by_seed(values)]

    def paired(self, values: Sequence[float | None]) -> dict[int | None, float | None]:
        """Seed -> its number, from those of the finished stages; None if a stage of it failed."""
        found = dict(zip(self.seeds, self.means(values), strict=True))
        return found | dict.fromkeys((tag(stage, "seed") for stage in self.failed), None)

    def spread(self, values: Sequence[float | None]) -> Spread:
        """Mean and spread over seeds of `values`, which are of the finished stages.

        Blank if any stage of the cell failed or lacks its value.
        """
        return Spread.whole([*self.means(values), *(None for _ in self.failed)])

    def over(self, read: Callable[[R_co], float | None]) -> Spread:
        """`spread` of what `read` finds."""
        return self.spread(self.values(read))


class CellKey(NamedTuple):
    """What the trials of one cell share, besides their rate."""

    ratio: float | None
    objective: str | None
    scenario: str | None

    @classmethod
    def of(cls, stage: StageRow) -> "CellKey":
        """The cell that a trial belongs to."""
        return cls(tag(stage, "ratio"), tag(stage, "objective"), tag(stage, "scenario"))


class TrialKey(NamedTuple):
    """What the trials of one cell share at one rate."""

    ratio: float | None
    objective: str | None
    scenario: str | None
    lr: float | None

    @classmethod
    def of(cls, stage: StageRow) -> "TrialKey":
        """The cell and rate that a trial belongs to."""
        return cls(*CellKey.of(stage), tag(stage, "lr"))

    @property
    def cell(self) -> CellKey:
        """The cell, whatever the rate."""
        return CellKey(*self[:3])

    @property
    def place(self) -> Place:
        """The same as the first columns of a row."""
        return {
            "ratio": self.ratio,
            "objective": self.objective,
            "scenario": self.scenario,
            "lr": self.lr,
        }


def grouped(stages: Iterable[R], key: Callable[[R], K]) -> dict[K, Cell[R]]:
    """Stages that share a key, as cells in sorted order."""
    groups: dict[K, tuple[list[R], list[R]]] = {}
    for stage in stages:
        done, failed = groups.setdefault(key(stage), ([], []))
        (done if finished(stage) else failed).append(stage)
    return {name: Cell(*groups[name]) for name in sorted(groups, key=by_parts)}


def by_parts(key: Iterable[Value]) -> list[tuple[int, float, str]]:
    """A sort key for tuples of mixed values."""
    return [order(part) for part in key]


@dataclass(frozen=True)
class SeedArms:
    """The test trials of one seed that are compared: one in the true region, then its k rivals."""

    seed: int
    trials: Sequence[TrialRow]
    """k + 1, finished or not: the true region's first, random regions in the order of numbers."""

    @property
    def missing(self) -> list[str]:
        """Why arms have no result, a line each; empty where all have one."""
        return [
            f"seed {self.seed}: {stage.get('failed', 'no result')}"
            for stage in self.trials
            if not finished(stage)
        ]

    @property
    def summaries(self) -> list[TrialSummary]:
        """Of the finished trials: of all k + 1, in their order, where none is `missing`."""
        return [stage["summary"] for stage in self.trials if finished(stage)]

    def values(self, read: Callable[[TrialRow], float | None]) -> list[float | None]:
        """What `read` finds in each of the k + 1 trials; None of one without a result."""
        return [number(read(s)) if finished(s) else None for s in self.trials]


def arms_by_seed(true: Cell[TrialRow], rivals: Cell[TrialRow]) -> list[SeedArms]:
    """The arms of every seed that both cells have, in the order of seeds."""
    first, others = _trials_of(true), _trials_of(rivals)
    shared = sorted(first.keys() & others.keys())
    return [SeedArms(seed, [*first[seed], *others[seed]]) for seed in shared]


def first_by_seed(cells: Sequence[Cell[TrialRow]]) -> list[SeedArms]:
    """A trial of each cell for every seed that all have, in the order of cells; of a seed's random
    regions the first."""
    found = [_trials_of(cell) for cell in cells]
    shared = sorted(set(found[0]).intersection(*found[1:]))
    return [SeedArms(seed, [own[seed][0] for own in found]) for seed in shared]


def alike_by_seed(rivals: Cell[TrialRow]) -> list[SeedArms]:
    """The random regions of every seed among themselves, the first in the true region's place.

    None of them holds facts, so a test that tells the first from the rest is wrong: an A/A
    comparison. Seeds with a single region are left out.
    """
    found = _trials_of(rivals)
    return [SeedArms(seed, found[seed]) for seed in sorted(found) if len(found[seed]) > 1]


def _trials_of(cell: Cell[TrialRow]) -> dict[int, list[TrialRow]]:
    """Seed -> its trials in the order of regions, finished or not."""
    found: dict[int, list[TrialRow]] = {}
    for stage in sorted([*cell.done, *cell.failed], key=region_of):
        seed = tag(stage, "seed")
        assert seed is not None, "a test trial has a seed"
        found.setdefault(seed, []).append(stage)
    return found


def find(
    comparisons: Iterable[ScenarioComparison], cell: CellKey, measure: str, rival: str = BASELINE
) -> ScenarioComparison | None:
    """The comparison of a cell with its objective's one of the rival in a measure, or None."""
    wanted = (*cell, rival, measure.lower())
    names = ("ratio", "objective", "scenario_a", "scenario_b", "metric")
    return next((c for c in comparisons if tuple(c.get(name) for name in names) == wanted), None)


def without_paths(reason: str) -> str:
    """`reason` in one line, with the folders of absolute paths dropped: tables hold no paths."""
    return re.sub(r"(?<![\w.:/])/(?:[^\s/'\",:]+/)+", "", " ".join(reason.split()))
