"""The shipped schemas: as the types are, and as what is written is."""

import json
from pathlib import Path

from jsonschema import Draft202012Validator
from support import reports
from support.schemas import problems, problems_of_file, problems_of_tables

from lacuna.report import render
from lacuna.results import StudyManifest
from lacuna.schemas import FOLDER, schema
from lacuna.schemas.make import schemas

MANIFEST: StudyManifest = {
    "study": "toy",
    "config": {"seed": 1},
    "registration": {
        "sha256": "a" * 64,
        "registered": "2026-01-01T00:00:00+00:00",
        "known": 0,
        "plan": {
            "subject": {},
            "claims": {},
            "test": "t",
            "seeds": [1],
            "regions": 1,
            "settings": {},
        },
    },
    "corpus": "c" * 64,
    "preflight": {},
    "versions": {"python": "3.11.7"},
    "hardware": {"machine": "x86_64", "cpus": 2, "gpu": None},
    "seeds": {"test": [1], "search": [9]},
    "stages": {"k" * 64: "base"},
    "seconds": {"k" * 64: None},
    "duration_seconds": 1.5,
}


def test_shipped_schemas_are_those_of_the_types_and_no_others() -> None:
    names = {path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.json")}
    shipped = {name: schema(name) for name in names}
    assert shipped == schemas(), "python -m lacuna.schemas writes them anew"
    for found in shipped.values():
        Draft202012Validator.check_schema(found)


def test_a_report_is_as_its_schemas_say(tmp_path: Path) -> None:
    render(reports.study(), tmp_path)
    assert problems_of_file("verdict", tmp_path / "verdict.json") == []
    assert problems_of_tables(tmp_path / "tables") == []


def test_misspelt_missing_and_mistyped_keys_are_named(tmp_path: Path) -> None:
    assert problems("manifest", MANIFEST) == []
    other = {**MANIFEST, "durations": 1.5, "study": 3, "seeds": {"test": [1]}}
    said = " ".join(problems("manifest", other))
    assert "'durations' was unexpected" in said and "'search' is a required property" in said
    assert "$.study: 3 is not of type 'string'" in said


def test_fields_have_the_docstrings_of_their_types_even_inherited_ones() -> None:
    records = json.loads((FOLDER / "audit.json").read_text())["$defs"]
    (told,) = (records[name]["properties"]["gini"] for name in ("PairChange",))
    assert told["description"].startswith("Inequality of the changes")
    assert records["ModelAttack"]["properties"]["k"]["description"].startswith("Prompts per fact")
