"""REPRODUCE.md and codecheck.yml say what the recorded and published values say."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import ROOT

from lacuna.artifacts import read_json
from lacuna.report.published import CELLS
from lacuna.report.tables import TABLES
from sweeps.results.compare import EXPECTED

NAMES = {
    "WGA": "wga",
    "NPO": "npo",
    "DPO": "dpo",
    "GradDiff": "graddiff",
    "SimNPO": "simnpo",
    "OracleGrad": "oraclegrad",
    "Activations": "activations",
    "Gradient": "gradient",
    "SNIP": "snip",
    "WAGLE": "wagle",
}


@pytest.fixture(scope="module")
def text() -> str:
    return (ROOT / "REPRODUCE.md").read_text()


def line_of(text: str, *words: str) -> str:
    (line,) = [line for line in text.splitlines() if all(word in line for word in words)]
    return line


def tolerances_of(line: str) -> tuple[float, float]:
    """The least and the largest tolerance that a line's last column states."""
    stated = [float(value) for value in re.findall(r"\d*\.\d+", line.split("|")[-2])]
    return min(stated), max(stated)


@pytest.mark.parametrize(
    ("words", "file", "claim"),
    [
        (("Lee et al.: the true region",), "mini", "region-matched: {} at 0.1"),
        (("RS at equal depth",), "mini", "region-depth: {} at 0.1"),
        (("AUES as published",), "mini", "region-aues: {} at 0.1"),
        (
            ("LACUNA: less comes back",),
            "mini",
            "erasure-logp: {} at 0.1, relearn lr 0.001, start at ES 0.3",
        ),
        (("gain from the own start",), "mini", "erasure-gain: {} at 0.1, relearn lr 0.001"),
        (("LUME, AUES to equal depth",), "mini-lume", "region-matched: {} at 0.1"),
        (
            ("LUME, log-prob.",),
            "mini-lume",
            "erasure-logp: {} at 0.1, relearn lr 0.0003, start at ES 0.3",
        ),
        (("TOFU, AUES to equal depth",), "mini-tofu", "region-matched: {} at 0.1"),
        (("dose: AUES",), "dose", "dose: {} at 0.1"),
        (("without it, AUES",), "lacuna-faithful", "region-matched: {} at 0.05"),
        (
            ("without it, log-prob.",),
            "lacuna-faithful",
            "erasure-logp: {} at 0.05, lora lr 0.003, start at ES 0.3",
        ),
        (("gain after LoRA",), "lacuna", "erasure-gain: {} at 0.05, lora lr 0.003"),
        (("AUES by the whole curve",), "lacuna", "region-aues: {} at 0.05"),
        (("a region drawn anywhere",), "lacuna", "region-matched: {} at 0.05, against uniform"),
        (("miss single weights",), "lacuna", "localization: {} at 0.05 region"),
        (
            ("from one forget level",),
            "lacuna",
            "erasure-logp: {} at 0.05, lora lr 0.003, start at ES 0.3",
        ),
        (("no better before attacks",), "lacuna", "region-matched: {} at 0.05"),
    ],
)
def test_effects_are_the_recorded_ones(
    text: str, words: tuple[str, ...], file: str, claim: str
) -> None:
    cells = read_json(EXPECTED / f"{file}.json")["cells"]
    recorded = {cell["where"].get("claim"): cell for cell in cells}
    line = line_of(text, *words)
    said = re.findall(r"(\w+) ([+-]\d*\.\d+)", line)
    least, largest = tolerances_of(line)
    assert len(said) >= 2
    for name, value in said:
        cell = recorded[claim.format(NAMES[name])]
        assert cell["value"] == pytest.approx(float(value), abs=0.006), name
        assert least - 0.006 <= cell["tolerance"] <= largest + 0.006, name


def test_localizers_precision_is_the_recorded_one(text: str) -> None:
    cells = read_json(EXPECTED / "mini.json")["cells"]
    recorded = {
        cell["where"]["name"]: cell for cell in cells if cell["where"].get("subject") == "localizer"
    }
    line = line_of(text, "localizers miss the region")
    said = re.findall(r"`(\w+)` (\d*\.\d+)", line)
    least, largest = tolerances_of(line)
    assert len(said) == 5
    for name, value in said:
        assert recorded[name]["value"] == pytest.approx(float(value), abs=0.005)
        assert least - 0.005 <= recorded[name]["tolerance"] <= largest + 0.005


@pytest.mark.parametrize(
    ("words", "column"),
    [("erased or hidden", "stored_mean"), ("the true region put back", "restored_mean")],
)
def test_transplants_are_the_recorded_ones(text: str, words: str, column: str) -> None:
    recorded = {
        cell["where"]["scenario"]: cell
        for cell in cells_of("transplant", "transplant", column)
        if cell["where"]["objective"] == "npo"
    }
    line = line_of(text, words)
    least, largest = tolerances_of(line)
    said = re.findall(r"(\w+) (-?\d*\.\d+)(?: \[| by)", line)
    assert len(said) == 4
    for name, value in said:
        assert recorded[name]["value"] == pytest.approx(float(value), abs=0.006), name
        assert least - 0.006 <= recorded[name]["tolerance"] <= largest + 0.006, name


def test_necessity_and_sufficiency_are_the_recorded_ones(text: str) -> None:
    line = line_of(text, "necessity (share")
    said = re.findall(r"(\w+) (\d*\.\d+), (\d*\.\d+)", line)
    assert len(said) == 6
    for column, place in (("necessity_mean", 1), ("sufficiency_mean", 2)):
        cells = cells_of("transplant", "necessity", column)
        recorded = {cell["where"]["localizer"]: cell["value"] for cell in cells}
        for found in said:
            assert recorded[found[0]] == pytest.approx(float(found[place]), abs=0.006), found


def cells_of(study: str, table: str, column: str) -> list[dict[str, Any]]:
    cells = read_json(EXPECTED / f"{study}.json")["cells"]
    return [cell for cell in cells if (cell["table"], cell["column"]) == (table, column)]


def test_smoke_has_as_many_cells_as_stated(text: str) -> None:
    cells = read_json(EXPECTED / "smoke.json")["cells"]
    assert f"{len(cells)} of {len(cells)} cells agree" in text


def test_published_values_are_those_of_the_report(text: str) -> None:
    for table in range(1, 7):
        line = line_of(text, f"`./reproduce.sh table{table}`").split("|")[3]
        means = {abs(cell.mean) for cell in CELLS if cell.table == table}
        said = [abs(float(number)) for number in re.findall(r"-?\d*\.\d+", line)]
        assert said and set(said) <= means, table


def test_the_checker_s_manifest_lists_what_a_study_writes() -> None:
    text = (ROOT / "codecheck.yml").read_text()
    assert text.startswith("---\n")
    check = yaml.safe_load(text)
    for entry in check["manifest"]:
        path = Path(entry["file"])
        assert entry["comment"] and path.parts[:2] == ("artifacts", "mini")
        if path.suffix == ".csv":
            assert path.stem in TABLES, path
    assert check["paper"]["title"] and check["paper"]["reference"] == "REPRODUCE.md"
