"""Levels: what is kept once a scenario has forgotten so much, whatever depth its run reached."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated

from typing_extensions import TypedDict

from lacuna.report.cells import (
    ALIKE,
    BASELINE,
    Cell,
    CellKey,
    SeedArms,
    Spread,
    alike_by_seed,
    arms_by_seed,
    grouped,
    number,
    trials,
)
from lacuna.report.columns import KEYS, OBJECTIVE, RATIO, SCENARIO, N
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of
from lacuna.results import TrialRow
from lacuna.seeds import numpy_generator
from lacuna.significance import (
    LEVELS,
    arms_of,
    arms_paired,
    level_difference,
    two_way_of_arms,
)
from lacuna.significance.matched import at_level
from lacuna.significance.seeds import by_two_way

MEASURED = "as the measure"


class Level(TypedDict):
    """One measure of one cell at one depth of forgetting."""

    ratio: Annotated[float | None, RATIO]
    objective: Annotated[str | None, OBJECTIVE]
    scenario: Annotated[str | None, SCENARIO]
    fs: Annotated[float, Column("Forget strength at which the cell is read", "share")]
    measure: Annotated[str, Column("rs: retain strength; mu: model utility")]
    n: Annotated[int, N]
    short: Annotated[
        list[int | None], Column("Seeds that never forgot so much; the cell then has no mean")
    ]
    mean: Annotated[float | None, Column("Mean over seeds", MEASURED, "higher")]
    sd: Annotated[float | None, Column("Standard deviation over seeds", MEASURED)]
    lo: Annotated[float | None, Column("Lower end of the 95% t interval of the mean", MEASURED)]
    hi: Annotated[float | None, Column("Upper end of the 95% t interval of the mean", MEASURED)]


class Gap(TypedDict):
    """The scenario minus random regions, paired by seed."""

    diff: Annotated[float | None, Column("Mean over seeds, minus that of random regions", MEASURED)]
    diff_lo: Annotated[float | None, Column("Lower end of its 95% interval", MEASURED)]
    diff_hi: Annotated[float | None, Column("Upper end of its 95% interval", MEASURED)]
    interval_method: Annotated[
        str | None,
        Column("`two-way t` over seeds and people (rs), or `t`: Student's t over seeds (mu)"),
    ]
    p_blocks: Annotated[
        float | None,
        Column("Block randomisation: any of a seed's regions could have been the true one", "p"),
    ]


class LevelRow(Level, Gap):
    """A level with its difference from random regions."""

    keys: Annotated[list[str], KEYS]


NO_GAP: Gap = {
    "diff": None,
    "diff_lo": None,
    "diff_hi": None,
    "interval_method": None,
    "p_blocks": None,
}
Reading = Callable[[TrialRow], float | None]


@TABLES.register("levels")
class Levels(StudyTable):
    """Retain strength and utility at fixed forget strengths, and what the place adds to them."""

    order = 41
    title = "Levels"
    note = (
        "Read off the mixing curve where forget strength first reaches fs: runs that stop at other "
        "depths compare. A seed with several random regions counts with their mean. short: seeds "
        f"that never get there. `{ALIKE}`: each seed's first random region against its others, of "
        "which none holds the facts."
    )
    columns = columns_of(LevelRow)
    optional = True

    @staticmethod
    def rows(results: Results) -> Iterator[LevelRow]:
        """By cell, measure and level; the A/A comparison after the random regions."""
        cells = grouped(trials(results.stages), CellKey.of)
        for key, cell in cells.items():
            rivals = cells.get(key._replace(scenario=BASELINE), Cell())
            yield from _rows(key, cell, [] if cell is rivals else arms_by_seed(cell, rivals))
            if cell is rivals and (alike := alike_by_seed(cell)):
                first = Cell([one.trials[0] for one in alike if not one.missing])
                yield from _rows(key._replace(scenario=ALIKE), first, alike)


def _rows(key: CellKey, cell: Cell[TrialRow], arms: Sequence[SeedArms]) -> Iterator[LevelRow]:
    for measure in ("rs", "mu"):
        for level in LEVELS:
            read = _reading(measure, level)
            by_seed = cell.paired(cell.values(read))
            found = Spread.whole(by_seed.values())
            yield {
                "ratio": key.ratio,
                "objective": key.objective,
                "scenario": key.scenario,
                "fs": level,
                "measure": measure,
                "n": found.n,
                "short": _short(cell, by_seed),
                "mean": found.mean,
                "sd": found.sd,
                "lo": found.lo,
                "hi": found.hi,
                **_gap(arms, read, level if measure == "rs" else None),
                "keys": cell.keys,
            }


def _short(cell: Cell[TrialRow], by_seed: Mapping[int | None, float | None]) -> list[int | None]:
    """Seeds that finished and have no value."""
    return [seed for seed in cell.seeds if by_seed[seed] is None]


def _reading(measure: str, level: float) -> Reading:
    def read(stage: TrialRow) -> float | None:
        curve = stage["summary"]["curve"]
        values = curve["rs"] if measure == "rs" else curve["mu"]
        return number(float(at_level(curve["fs"], values, level)))

    return read


def _gap(arms: Sequence[SeedArms], read: Reading, level: float | None) -> Gap:
    """The first arm of each seed minus its rivals; over people too where a `level` of RS is read.

    None throughout where an arm failed or does not reach the level.
    """
    names = [one.seed for one in arms]
    generator = numpy_generator(0, "levels", *names)
    record = arms_paired([one.values(read) for one in arms], names, generator=generator)
    if not arms or record["missing"]:
        return NO_GAP
    if level is not None:
        of_people = [arms_of(one.summaries) for one in arms]
        by_two_way(record, two_way_of_arms(of_people, level_difference(level)))
    low, high = record["interval"] or (None, None)
    return {
        "diff": record["diff"],
        "diff_lo": low,
        "diff_hi": high,
        "interval_method": record["interval_method"],
        "p_blocks": record["p_blocks"],
    }
