"""`python -m sweeps.results.rebuild STUDY [artifacts=DIR]`: a finished study's report, made again.

Reads `STUDY/results.json`, which a study leaves beside its tables; needs no store, no tracking
server and no Ray, and trains nothing.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lacuna.artifacts import read_json, write_json
from lacuna.errors import UserError
from lacuna.report import Margins, Results, headline, render
from lacuna.results import StudyManifest

RESULTS = "results.json"


def keep(results: Results, folder: Path) -> None:
    """Write what a report is made from; `rebuild` reads it."""
    write_json(folder / RESULTS, asdict(results))


def rebuild(folder: Path) -> list[str]:
    """Write tables, page and verdict of the study in `folder` anew: the headline's lines.

    Raises `UserError` where no study has finished there.
    """
    manifest(folder)
    record = read_json(folder / RESULTS)
    margins = Margins(**record.pop("margins"))
    return headline(render(Results(**record, margins=margins), folder))


def manifest(folder: Path) -> StudyManifest:
    """The manifest of the study in `folder`. Raises `UserError` where none has finished."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise UserError(f"{folder} holds no finished study: run ./reproduce.sh {folder.name} first")
    record: StudyManifest = read_json(path)
    return record


def study_folder(arguments: Sequence[str], usage: str) -> Path:
    """The folder that `STUDY [artifacts=DIR]` names. Raises `UserError` for anything else."""
    names = [word for word in arguments if "=" not in word]
    settings = dict(word.split("=", 1) for word in arguments if "=" in word)
    root = settings.pop("artifacts", "artifacts")
    if len(names) != 1 or settings or names[0].startswith("-"):
        raise UserError(f"usage: {usage}")
    return Path(root) / names[0]


def main(arguments: Sequence[str]) -> int:
    """Rebuild one report; exit status 0, or 2 with one line on stderr."""
    try:
        folder = study_folder(arguments, "python -m sweeps.results.rebuild STUDY [artifacts=DIR]")
        lines = rebuild(folder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(*lines, f"report: {folder / 'report' / 'index.html'}", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
