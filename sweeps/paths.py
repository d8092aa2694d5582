"""Where a study's results lie: may they be written there, and are they whole?"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lacuna.artifacts import read_json
from lacuna.errors import UserError
from lacuna.results import StudyManifest

if TYPE_CHECKING:
    from sweeps.config.schema import Study


def check_place(config: "Study") -> None:
    """Raises `UserError` for an output root or a store that cannot be written; makes neither."""
    _check(Path(config.artifacts), "artifacts")
    if config.store and "://" not in config.store:
        _check(Path(config.store), "store")


def _check(folder: Path, key: str) -> None:
    place = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(
            f"user {os.getuid()} may not write to {place}: give this user the folder (a container: "
            f'mount a folder of yours and add --user "$(id -u):$(id -g)"), or name another: {key}='
        )


def finished(folder: Path) -> StudyManifest:
    """The manifest of the study in `folder`. Raises `UserError` where none has finished."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise UserError(f"{folder} holds no finished study: run ./reproduce.sh {folder.name} first")
    record: StudyManifest = read_json(path)
    return record
