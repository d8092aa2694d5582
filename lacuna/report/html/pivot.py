"""The main table as the paper prints it: objectives and measures down, scenarios across.

Besides, rows of any table put together by cell.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lacuna.report.cells import BASELINE, ORACLE
from lacuna.report.html.environment import origin
from lacuna.report.labels import WARNINGS
from lacuna.report.table import Row
from lacuna.report.tables.main import MainRow


@dataclass(frozen=True)
class Scenario:
    """One scenario's cell: a row per learning rate, usually one."""

    rows: Sequence[MainRow]

    @property
    def title(self) -> str | None:
        """Where the cell comes from."""
        return " | ".join(filter(None, map(origin, self.rows))) or None

    @property
    def unlocalized(self) -> list[str]:
        """Labels of checkpoints that are not what they should be."""
        labels = [str(row.get("checkpoint")) for row in self.rows]
        return list(dict.fromkeys(one for one in labels if one.startswith(WARNINGS)))


@dataclass(frozen=True)
class Line:
    """One measure of one objective."""

    objective: str | None
    measure: str
    scenarios: Sequence[Scenario]
    oracle: MainRow | None
    """The true region's first row, which holds its difference from a random one."""


@dataclass(frozen=True)
class Block:
    """All lines of one ratio."""

    ratio: float | None
    scenarios: Sequence[str | None]
    lines: Sequence[Line]


def blocks(rows: Sequence[MainRow]) -> list[Block]:
    """A block per ratio, in the order of the rows."""
    ratios = dict.fromkeys(row["ratio"] for row in rows)
    return [_block(ratio, [row for row in rows if row["ratio"] == ratio]) for ratio in ratios]


def cells(rows: Sequence[Row]) -> list[tuple[Row, list[Row]]]:
    """First row and rows of each cell, in the order of the rows."""
    found: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        place = tuple(row.get(name) for name in ("ratio", "objective", "scenario", "lr"))
        found.setdefault(place, []).append(row)
    return [(own[0], own) for own in found.values()]


def _block(ratio: float | None, rows: Sequence[MainRow]) -> Block:
    names = sorted(dict.fromkeys(row["scenario"] for row in rows), key=_place)
    lines = [
        _line(objective, measure, names, rows)
        for objective, measure in dict.fromkeys((r["objective"], r["measure"]) for r in rows)
    ]
    return Block(ratio, names, lines)


def _line(
    objective: str | None, measure: str, names: Iterable[str | None], rows: Sequence[MainRow]
) -> Line:
    here = [row for row in rows if (row["objective"], row["measure"]) == (objective, measure)]
    cells = {name: [row for row in here if row["scenario"] == name] for name in names}
    oracle = next(iter(cells.get(ORACLE, [])), None)
    return Line(objective, measure, [Scenario(cell) for cell in cells.values()], oracle)


def _place(scenario: str | None) -> tuple[bool, bool, str]:
    """Random and oracle first, side by side."""
    return scenario not in (BASELINE, ORACLE), scenario == ORACLE, str(scenario)
