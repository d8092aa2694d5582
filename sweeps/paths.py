"""What lies where below the output root: may it be written there, and is it whole?"""

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from lacuna.artifacts import read_json
from lacuna.errors import UserError
from lacuna.results import StudyManifest
from lacuna.results.files import MANIFEST

if TYPE_CHECKING:
    from sweeps.config.schema import Study

ROOT = "artifacts"
"""The output root where none is named, below the working folder."""


def database_of(root: Path) -> Path:
    """The SQLite file of the studies below an output root that have no tracking server."""
    return root.absolute() / "mlflow.db"


def tracking_uri(given: str | None, root: Path) -> str:
    """The tracking store of the studies below `root`: the one given, or their SQLite file."""
    return given or sqlite_uri(database_of(root))


SQLITE = "sqlite:///"


def sqlite_uri(path: Path) -> str:
    """The URI of a SQLite file, whatever its name: `?` would begin options, `%` a letter's code."""
    return SQLITE + str(path).replace("%", "%25").replace("?", "%3F")


def sqlite_path(uri: str) -> Path | None:
    """The file of such a URI; None for other URIs."""
    return Path(unquote(uri.removeprefix(SQLITE))) if uri.startswith(SQLITE) else None


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
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{folder} holds no finished study: run ./reproduce.sh {folder.name} first")
    record: StudyManifest = read_json(path)
    return record
