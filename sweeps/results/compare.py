"""A finished study's numbers beside expected ones.

Expected are the cells of `sweeps/results/expected/NAME.json`, which a run left there
(`lacuna compare --record`), or, for the papers' studies, those of `lacuna.report.published`.

Tolerances. Recorded cells: two standard deviations over seeds (a claim: half its 95% interval), at
least a claim's margin or the table's own floor; the same seeds on another machine differ by
rounding that training amplifies. Published cells: two printed standard deviations, at least the
study's margins.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lacuna.artifacts import read_json, write_text
from lacuna.errors import UserError
from lacuna.report import Margins
from lacuna.report.published import CELLS, PublishedCell
from lacuna.report.table import Recorded
from lacuna.report.tables import TABLES
from sweeps.config.schema import build
from sweeps.paths import finished

EXPECTED = Path(__file__).parent / "expected"
SAME = ("study", "data.name", "model.source", "seeds", "objectives", "scenarios")
"""Settings a run must share with the recorded one."""
Row = Mapping[str, object]
Config = Mapping[str, object]
"""The resolved configuration of a study, as its manifest holds it."""


@dataclass(frozen=True)
class Expected:
    """One number: every row of `table` that agrees with `where` has it in `column`."""

    table: str
    where: Mapping[str, object]
    column: str
    value: float
    tolerance: float


CLAIMS = Recorded(("claim",), ("effect",), 0.02)
"""What is recorded of verdict.json; tables say what of them is."""
FLOORS = {"MU95": 1.0}
"""Where a measure is on another scale: log10 p."""


def recorded() -> dict[str, Recorded]:
    """What of each table is recorded, and of the verdict."""
    kinds = {name: kind.recorded for name, kind in TABLES.items() if kind.recorded is not None}
    return {**kinds, "verdict": CLAIMS}


def expected(folder: Path) -> list[Expected]:
    """The cells that the study in `folder` is held to.

    Raises `UserError` if none are known, or those known are of other settings.
    """
    config = finished(folder)["config"]
    path = _file(config)
    if path.is_file():
        record = read_json(path)
        for name, value in record["config"].items():
            if _setting(config, name) != value:
                raise UserError(
                    f"{folder} was run with {name}={_setting(config, name)}, and {path.name} is "
                    f"expected of {name}={value}: run the study as REPRODUCE.md has it"
                )
        return [Expected(**cell) for cell in record["cells"]]
    if cells := list(_published(config)):
        return cells
    raise UserError(
        f"nothing is expected of study {config['study']} with data {_setting(config, 'data.name')} "
        f"and model {_setting(config, 'model.source') or 'mini'}: REPRODUCE.md names the studies "
        f"that have it"
    )


def check(folder: Path, cells: Sequence[Expected]) -> tuple[list[str], int]:
    """A line for each cell of the study in `folder`, and how many disagree."""
    tables = {name: _rows(folder, name) for name in {cell.table for cell in cells}}
    lines, differing = [], 0
    for cell in cells:
        rows = [row for row in tables[cell.table] if cell.where.items() <= _hashable(row).items()]
        for measured in [row[cell.column] for row in rows] or ["no such row"]:
            number = _number(measured)
            agrees = number is not None and abs(number - cell.value) <= cell.tolerance
            differing += not agrees
            lines.append(_line(cell, measured, agrees))
    return lines, differing


def record(folder: Path) -> Path:
    """Write what a run of the study in `folder` gave as what is expected of the next."""
    config = finished(folder)["config"]
    found = (cell for table, kind in recorded().items() for cell in _cells(folder, table, kind))
    cells = [json.dumps(asdict(cell)) for cell in found]
    shared = json.dumps({name: _setting(config, name) for name in SAME})
    path = _file(config)
    write_text(path, f'{{"config": {shared},\n"cells": [\n' + ",\n".join(cells) + "\n]}\n")
    return path


def _file(config: Config) -> Path:
    data = _setting(config, "data.name")
    return EXPECTED / f"{config['study']}{'' if data == 'synthetic' else f'-{data}'}.json"


def _setting(config: Config, name: str) -> object:
    """The value of a dotted name."""
    value: object = config
    for part in name.split("."):
        assert isinstance(value, Mapping), f"{name}: no configuration has this setting"
        value = value[part]
    return value


def _rows(folder: Path, table: str) -> list[Row]:
    """Empty where the study has no such table."""
    if table == "verdict":
        return list(read_json(folder / "verdict.json"))
    path = folder / "tables" / f"{table}.json"
    return list(read_json(path)["rows"]) if path.exists() else []


def _hashable(row: Row) -> dict[str, object]:
    return {name: value for name, value in row.items() if not isinstance(value, list | dict)}


def _cells(folder: Path, table: str, kind: Recorded) -> Iterator[Expected]:
    for row in _rows(folder, table):
        where = {name: row[name] for name in kind.place if row[name] is not None}
        for column in kind.columns:
            value = _number(row[column])
            if value is not None:
                margin = _number(row.get("margin"))
                floor = kind.floor if margin is None else margin
                least = FLOORS.get(str(row.get("measure")), floor)
                tolerance = float(f"{max(_spread(row, column), least):.3g}")
                yield Expected(table, where, column, value, tolerance)


def _spread(row: Row, column: str) -> float:
    """Two standard deviations over seeds, or half a claim's interval."""
    interval = row.get("interval")
    if column == "effect":
        return float(interval[1] - interval[0]) / 2 if isinstance(interval, list) else 0.0
    return 2 * (_number(row.get(column.replace("mean", "sd"))) or 0.0) if "mean" in column else 0.0


def _number(value: object) -> float | None:
    return value if isinstance(value, float | int) else None


def _published(config: Config) -> Iterator[Expected]:
    named = _setting(config, "margins")
    assert isinstance(named, Mapping), "margins are named"
    margins = build(Margins, named)
    floors = {"AUES": margins.aues, "MU95": margins.mu95}
    for cell in CELLS:
        study = str(config["study"]).partition("-")[0]  # table2-olmo2_7b: of several models
        if study == f"table{cell.table}" and _is_model(cell, config):
            tolerance = max(2 * (cell.sd or 0.0), floors[cell.metric])
            yield Expected(*_place(cell), cell.mean, tolerance)


def _is_model(cell: PublishedCell, config: Config) -> bool:
    return cell.model in str(_setting(config, "model.source"))


def _place(cell: PublishedCell) -> tuple[str, dict[str, object], str]:
    if cell.scenario == "original":  # before unlearning: its forget quality
        return "models", {"model": "injected"}, "fq"
    place = {"objective": cell.objective, "scenario": cell.scenario, "measure": cell.metric}
    return "main", {"ratio": cell.ratio, **place}, "mean"


def _line(cell: Expected, measured: object, agrees: bool) -> str:
    place = " ".join(f"{name}={value}" for name, value in cell.where.items())
    found = f"{measured:.4g}" if isinstance(measured, float | int) else measured or "no value"
    verdict = "agrees " if agrees else "DIFFERS"
    what = f"{cell.table} {place} {cell.column}"
    return f"{verdict} {what}: {found}, expected {cell.value:.4g} +- {cell.tolerance:.3g}"
