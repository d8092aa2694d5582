"""Files that a study or an audit wrote, held against the shipped schemas."""

import json
from pathlib import Path

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from lacuna.schemas import schema


def problems(name: str, value: object) -> list[str]:
    """Where `value` differs from the schema: `path: what`."""
    errors = Draft202012Validator(schema(name)).iter_errors(value)
    causes = [best_match([error]) for error in errors]  # of a union, the nearest member's
    return [f"{cause.json_path}: {cause.message[:200]}" for cause in causes if cause is not None]


def problems_of_file(name: str, path: Path) -> list[str]:
    return problems(name, json.loads(path.read_text(encoding="utf-8")))


def problems_of_study(folder: Path) -> list[str]:
    """All that a finished study's report holds."""
    found = problems_of_file("verdict", folder / "verdict.json")
    found += problems_of_file("manifest", folder / "manifest.json")
    found += problems_of_file("results", folder / "results.json")
    return found + problems_of_tables(folder / "tables")


def problems_of_tables(folder: Path) -> list[str]:
    tables = sorted(folder.glob("*.json"))
    assert len(tables) > 5, "tables are missing"
    return [line for path in tables for line in problems_of_file(f"tables/{path.stem}", path)]
