"""Is a SQLite tracking file usable? Asked before MLflow, which would try for a minute."""

import sqlite3
import time
from pathlib import Path

from lacuna.errors import UserError
from sweeps.errors import Unavailable
from sweeps.paths import sqlite_path

PATIENCE = 5.0
"""Seconds that another writer may hold the file, and that a look through it may take."""


def check_database(uri: str, patience: float = PATIENCE) -> None:
    """Look through the file of a SQLite URI, if there is one; other URIs pass.

    Raises `UserError` where it is a folder, no database, or damaged, and `Unavailable` where
    another process holds it for longer than `patience`.
    """
    path = sqlite_path(uri)
    if path is None or not path.exists():
        return
    if not path.is_file():
        raise UserError(f"{path} is a folder: the tracking database is a file, move the folder")
    if path.stat().st_size == 0:
        return  # as sqlite makes it: a database without tables
    connection = sqlite3.connect(f"file:{_quoted(path)}?mode=rw", uri=True, timeout=patience)
    end = time.monotonic() + patience
    connection.set_progress_handler(lambda: time.monotonic() > end, 10_000)
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):  # a large file, sound as far as seen
            return
        raise Unavailable(
            f"{path} cannot be read ({error}): another process holds it, end that one, or give "
            f"another tracking_uri="
        ) from error
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from error
    finally:
        connection.close()
    if found != "ok":
        raise _damaged(path, str(found))


def _damaged(path: Path, reason: str) -> UserError:
    line = " ".join(reason.split())[:120]
    return UserError(
        f"{path} is damaged ({line}): restore a copy, or name another place (tracking_uri= or "
        f"artifacts=); results in checkpoints/ are not touched"
    )


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
