"""How many seeds and random regions a study needs for a margin: `plan=true power=MARGIN`.

A pilot is a finished study of the same cells. Its seeds' differences of AUES to equal depth, and
those between its random regions where a seed has several, give the spread of regions; from this
follows, for each number of regions, the fewest seeds with which "no better by the margin" holds in
80% of studies where there is no difference (`lacuna.significance.power`). As many find a true
effect of that size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lacuna.artifacts import read_json
from lacuna.errors import UserError
from lacuna.report.cells import (
    BASELINE,
    ORACLE,
    Cell,
    CellKey,
    SeedArms,
    StageRows,
    arms_by_seed,
    grouped,
    trials,
)
from lacuna.results.files import RESULTS
from lacuna.significance import Curve, Spread, compare_curves, needed, spread_from_pilot
from lacuna.significance.decide import MIN_SEEDS
from lacuna.significance.power import MAX_REGIONS, MAX_SEEDS
from sweeps.config.schema import Study
from sweeps.plan.estimate import estimate_study
from sweeps.plan.planner import Planner

POWER = 0.8


@dataclass(frozen=True)
class Wanted:
    """What one cell of the pilot asks for."""

    name: str
    pilot_seeds: int
    spread: Spread
    seeds: dict[int, int]
    """Regions of a seed -> fewest seeds; without those for which 64 are too few."""


def power_text(planner: Planner) -> str:
    """Seeds by cell and number of regions, and what a study of so many takes.

    Raises `UserError` where there is no pilot, or it lacks one of the study's cells.
    """
    config = planner.config
    assert config.power is not None, "asked for without a margin"
    folder = Path(config.pilot or Path(config.artifacts) / config.study)
    found, most = _wanted(planner, folder, config.power), min(planner.protocol.room(), MAX_REGIONS)
    regions = range(1, max(1, most) + 1)
    head = (
        f'power: seeds with which "no better by {config.power:g}" of AUES to equal depth holds in '
        f"{POWER:.0%} of studies without a difference; by the sd of a pilot of "
        f"{found[0].pilot_seeds} seeds, {folder}"
    )
    rows: list[tuple[str, Sequence[str]]] = [("random regions of a seed", [*map(str, regions)])]
    for one in found:
        sd = f"{one.name} (sd with one region {one.spread.of_difference(1):.2g})"
        rows.append((sd, [str(one.seeds.get(k, "-")) for k in regions]))
    more, last = _designs(planner, found, regions)
    width = max(len(name) for name, _ in [*rows, *more])
    table = [f"{name:<{width}}{''.join(f'{x:>7}' for x in cells)}" for name, cells in rows + more]
    return "\n".join([head, *table, last])


def _wanted(planner: Planner, folder: Path, margin: float) -> list[Wanted]:
    config = planner.config
    if not {ORACLE, BASELINE} <= set(config.scenarios):
        raise UserError(f"power={margin:g}: it is of scenarios {ORACLE} and {BASELINE}: add them")
    if not (folder / RESULTS).is_file():
        raise UserError(
            f"power={margin:g} needs a pilot, and {folder} holds no finished study: run it first "
            f"with few seeds, or name one with pilot=FOLDER"
        )
    stages = read_json(folder / RESULTS)["stages"]
    cells = {cell._replace(scenario=ORACLE) for cell in planner.cells() if cell.scenario == ORACLE}
    places = sorted({(cell.ratio, cell.objective) for cell in cells})
    return [_of_cell(stages, folder, *place, margin) for place in places]


def _of_cell(
    stages: StageRows, folder: Path, ratio: float, objective: str, margin: float
) -> Wanted:
    cells, name = grouped(trials(stages), CellKey.of), f"{objective} at {ratio:g}"
    sides = (cells.get(CellKey(ratio, objective, s), Cell()) for s in (ORACLE, BASELINE))
    values = [row for arms in arms_by_seed(*sides) if (row := _matched(arms)) is not None]
    if len(values) < 2:
        raise UserError(
            f"pilot {folder} has {len(values)} seeds with finished {ORACLE} and {BASELINE} trials "
            f"of {name}: at least 2 are needed; name another with pilot=FOLDER"
        )
    regions = min(map(len, values)) - 1
    spread = spread_from_pilot(
        [row[0] - math.fsum(row[1 : regions + 1]) / regions for row in values],
        regions,
        [row[1] - row[2] for row in values] if regions > 1 else None,
    )
    seeds = {need.regions: max(need.seeds, MIN_SEEDS) for need in needed(spread, margin, POWER)}
    return Wanted(name, len(values), spread, seeds)


def _matched(arms: SeedArms) -> list[float] | None:
    """AUES to equal depth of each arm; None where one is missing or has no common depth."""
    if arms.missing:
        return None
    curves = [Curve(one["curve"]["fs"], one["curve"]["rs"]) for one in arms.summaries]
    found = [value for value in compare_curves(curves).aues if value is not None]
    return found if len(found) == len(curves) else None


def _designs(
    planner: Planner, found: Sequence[Wanted], regions: Sequence[int]
) -> tuple[list[tuple[str, Sequence[str]]], str]:
    """What all cells need, with the hours of a study of so many; the cheapest in words."""
    able = [k for k in regions if all(k in one.seeds for one in found)]
    if not able:
        return [], f"no number of regions will do with {MAX_SEEDS} seeds: ask for a wider margin"
    enough = {k: max(one.seeds[k] for one in found) for k in able}
    hours = {
        k: _hours(replace(planner, config=_config(planner.config, n, k))) for k, n in enough.items()
    }
    best = min(hours, key=lambda k: (hours[k], k))
    rows: list[tuple[str, Sequence[str]]] = [
        ("all cells", [str(enough.get(k, "-")) for k in regions]),
        ("hours of all stages", [f"{hours[k]:.3g}" if k in hours else "-" for k in regions]),
    ]
    last = (
        f"cheapest: {enough[best]} seeds with regions={best}, {hours[best]:.3g} hours; a spread "
        f"from few seeds is rough (from four: within a factor of .57 to 3.7)"
    )
    return rows, last


def _config(config: Study, seeds: int, regions: int) -> Study:
    """The study with so many seeds, its own first."""
    taken = {*config.seeds, *config.search.seeds}
    more = (seed for seed in range(1, seeds + len(taken) + 1) if seed not in taken)
    listed = [*config.seeds, *more][:seeds]
    return replace(config, seeds=listed, regions=regions)


def _hours(planner: Planner) -> float:
    return sum(row.seconds for row in estimate_study(planner, stored=False).rows) / 3600
