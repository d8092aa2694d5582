"""From types to JSON schemas: pydantic's, with the docstrings of fields and without other keys."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema
from typing_extensions import get_original_bases, is_typeddict

from lacuna.artifacts import write_json
from lacuna.report.columns import CHECKPOINT
from lacuna.report.tables import TABLES
from lacuna.results import AuditRecord, Claim, ResultsFile, StudyManifest, TableFile

Schema = dict[str, Any]
DIALECT = GenerateJsonSchema.schema_dialect
RECORDS: dict[str, Any] = {
    "verdict": list[Claim],
    "manifest": StudyManifest,
    "results": ResultsFile,
    "audit": AuditRecord,
}
"""Name of a schema -> the type that it is made from; tables are made from their columns."""


def schemas() -> dict[str, Schema]:
    """Every schema by its name, from the types and tables as they are now."""
    found = {name: _schema(record) for name, record in RECORDS.items()}
    ours = (name for name, table in TABLES.items() if table.__module__.startswith("lacuna."))
    found |= {f"tables/{name}": _table(name) for name in ours}
    return {name: {"$schema": DIALECT, **schema} for name, schema in found.items()}


def write(folder: Path) -> Iterator[Path]:
    """Write every schema, and name its file."""
    for name, schema in schemas().items():
        path = folder / f"{name}.json"
        write_json(path, schema)
        yield path


def _schema(record: Any) -> Schema:
    return TypeAdapter(record).json_schema(schema_generator=_Generator)


def _table(name: str) -> Schema:
    """That of a table's file; beside checkpoints with a causal report stands one more column."""
    table = TABLES[name]
    columns = (*table.columns, CHECKPOINT)
    file = _schema(TableFile)
    file["properties"]["name"]["const"] = name
    file["properties"]["rows"]["items"] = {
        "type": "object",
        "properties": {c.name: {**_schema(c.holds), "description": c.title} for c in columns},
        "required": [column.name for column in table.columns],
        "additionalProperties": False,
    }
    return {**file, "title": table.title}


class _Generator(GenerateJsonSchema):
    """Fields have their docstrings for descriptions; a record has no keys but its own."""

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> Schema:
        """One record."""
        found = super().typed_dict_schema(schema)
        found["additionalProperties"] = False
        for name, text in _docstrings(schema["cls"]):
            found["properties"][name].setdefault("description", text)
        return found

    def field_title_should_be_set(self, schema: object) -> bool:
        """Never: it would repeat the key."""
        return False


def _docstrings(record: type) -> Iterator[tuple[str, str]]:
    """Field and docstring, those of base classes first."""
    for base in get_original_bases(record):
        if is_typeddict(base):
            yield from _docstrings(base)
    body = _body(record)
    for field, text in zip(body, body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(field.target, ast.Name) and isinstance(text.value, ast.Constant)
            yield field.target.id, inspect.cleandoc(str(text.value.value)).replace("\n", " ")


def _body(record: type) -> list[ast.stmt]:
    """The statements of a class; none of a record that was made by a call."""
    try:
        (definition,) = ast.parse(dedent(inspect.getsource(record))).body
    except OSError:  # what inspect raises where there is no class statement
        return []
    return definition.body if isinstance(definition, ast.ClassDef) else []
