"""A finished study's report made again, and its numbers held against expected ones."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from support.reports import study
from support.weight_reports import study as study_of_weights

from lacuna.artifacts import read_json, write_json
from lacuna.report import Margins, render
from lacuna.report.published import CELLS, OLMO
from sweeps.cli import main
from sweeps.config.groups import names
from sweeps.results import compare, rebuild
from sweeps.results.compare import EXPECTED, Expected, recorded

CONFIG: dict[str, Any] = {
    "study": "mini",
    "data": {"name": "synthetic"},
    "model": {"source": None},
    "seeds": [1, 2, 3],
    "objectives": ["npo"],
    "scenarios": ["oracle", "random"],
    "margins": asdict(Margins()),
}


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study's folder as `run` leaves it; what is recorded of it stays here."""
    monkeypatch.setattr(compare, "EXPECTED", tmp_path / "expected")
    folder = tmp_path / "mini"
    render(study(), folder)
    rebuild.keep(study(), folder)
    write_json(folder / "manifest.json", {"config": CONFIG})
    return folder


def compared(root: Path, *words: str) -> int:
    return main(["compare", "mini", f"artifacts={root}", *words])


def change(folder: Path, table: str, column: str, by: float, **where: Any) -> None:
    path = folder / "tables" / f"{table}.json"
    content = read_json(path)
    for row in content["rows"]:
        if where.items() <= {name: row[name] for name in where}.items():
            row[column] += by
    path.write_text(json.dumps(content))


def test_a_report_made_again_is_the_same_bytes(finished: Path) -> None:
    files = [path for path in finished.rglob("*") if path.is_file() and path.suffix != ".part"]
    before = {path: path.read_bytes() for path in files}
    made_again = [path for path in files if path.name not in ("manifest.json", "results.json")]
    for path in made_again:
        path.unlink()
    assert main(["report", "mini", f"artifacts={finished.parent}"]) == 0
    assert {path: path.read_bytes() for path in files} == before


@pytest.mark.parametrize("verb", ["report", "compare"])
def test_what_has_not_finished_is_one_line(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "mini", f"artifacts={tmp_path}"]) == 2
    assert "holds no finished study: run ./reproduce.sh mini first\n" in capsys.readouterr().err
    for words in ([], ["mini", "smoke"], ["mini", "seeds=[1]"], ["--hlp"]):
        assert main([verb, *words]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1


WEIGHTS_ONLY = {"causal", "precision"}
EXCHANGED = {"transplant", "necessity"}
"""Tables of studies that exchange regions."""


@pytest.mark.parametrize(
    ("made", "tables"),
    [
        (study, recorded().keys() - WEIGHTS_ONLY - EXCHANGED),
        (study_of_weights, WEIGHTS_ONLY | {"main", "verdict"}),
    ],
)
def test_a_run_agrees_with_what_it_recorded_itself(
    made: Any, tables: set[str], finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    render(made(), finished)
    assert compared(finished.parent, "--record") == 0
    assert compared(finished.parent) == 0
    said = capsys.readouterr().out
    assert "DIFFERS" not in said
    for table in tables:
        assert f"agrees  {table} " in said


def test_a_cell_out_of_tolerance_is_named_and_fails_the_comparison(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compared(finished.parent, "--record")
    place = {"objective": "npo", "scenario": "oracle", "measure": "AUES"}
    cells = {
        (c.where.get("scenario"), c.where.get("measure")): c for c in compare.expected(finished)
    }
    cell = cells["oracle", "AUES"]
    change(finished, "main", "mean", 0.9 * cell.tolerance, **place)
    assert compared(finished.parent) == 0
    capsys.readouterr()
    change(finished, "main", "mean", 0.2 * cell.tolerance, **place)
    assert compared(finished.parent) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "DIFFERS" in line]
    assert "objective=npo scenario=oracle measure=AUES mean" in line
    assert f"expected {cell.value:.4g} +-" in line


def test_a_cell_without_a_row_or_a_value_differs(finished: Path) -> None:
    nowhere = Expected("main", {"objective": "dpo"}, "mean", 0.5, 1.0)
    empty = Expected("main", {"scenario": "oracle", "measure": "AUES"}, "uncrossed", 0.5, 1.0)
    lines, differing = compare.check(finished, [nowhere, empty])
    assert differing == len(lines) == 2
    assert "no such row" in lines[0] and "no value" in lines[1]


def test_other_settings_than_the_recorded_ones_cannot_be_compared(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compared(finished.parent, "--record")
    write_json(finished / "manifest.json", {"config": {**CONFIG, "seeds": [1]}})
    assert compared(finished.parent) == 2
    assert "was run with seeds=[1], and mini.json is expected of" in capsys.readouterr().err
    write_json(finished / "manifest.json", {"config": {**CONFIG, "study": "own"}})
    assert compared(finished.parent) == 2
    assert "nothing is expected of study own" in capsys.readouterr().err


def test_the_papers_studies_are_held_to_the_printed_cells_of_their_model(tmp_path: Path) -> None:
    config = {**CONFIG, "study": "table2-olmo2_7b", "model": {"source": f"allenai/{OLMO}"}}
    write_json(tmp_path / "manifest.json", {"config": config})
    cells = compare.expected(tmp_path)
    printed = [cell for cell in CELLS if (cell.table, cell.model) == (2, OLMO)]
    assert len(cells) == len(printed) == 16
    aues = next(cell for cell in cells if cell.where["measure"] == "AUES")
    assert (aues.where["objective"], aues.value, aues.tolerance) == ("wga", 0.609, 0.04)
    write_json(tmp_path / "manifest.json", {"config": {**config, "study": "table1"}})
    untouched = [cell for cell in compare.expected(tmp_path) if cell.table == "models"]
    assert [(cell.column, cell.value) for cell in untouched] == [("fq", -21.10)]


@pytest.mark.parametrize("path", sorted(EXPECTED.glob("*.json")), ids=lambda path: path.stem)
def test_recorded_files_name_studies_tables_and_columns_that_exist(path: Path) -> None:
    record = read_json(path)
    study_name, data = record["config"]["study"], record["config"]["data.name"]
    assert path.stem == (study_name if data == "synthetic" else f"{study_name}-{data}")
    assert study_name in names("study")
    kinds = recorded()
    for cell in (Expected(**cell) for cell in record["cells"]):
        assert cell.column in kinds[cell.table].columns
        assert cell.where.keys() <= set(kinds[cell.table].place)
        assert cell.tolerance > 0
