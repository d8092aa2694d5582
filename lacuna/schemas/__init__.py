"""JSON schemas (draft 2020-12) of what studies and audits write, made from the types of records.

    verdict.json   STUDY/verdict.json
    manifest.json  STUDY/manifest.json
    results.json   STUDY/results.json: the summary of every stage
    tables/*.json  STUDY/tables/*.json
    audit.json     AUDIT/audit.json

`python -m lacuna.schemas` writes them anew; a test fails where that was forgotten.
"""

from pathlib import Path

from lacuna.artifacts import read_json

FOLDER = Path(__file__).parent


def schema(name: str) -> dict[str, object]:
    """One of the schemas above, by its path without `.json`: `verdict`, `tables/main`."""
    return dict(read_json(FOLDER / f"{name}.json"))
