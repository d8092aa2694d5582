"""A tracking database that is damaged, held, or in a folder of any name: one line, soon."""

import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lacuna.errors import UserError
from sweeps.errors import Unavailable
from sweeps.paths import database_of, sqlite_path, sqlite_uri, tracking_uri
from sweeps.store.upkeep import open_store
from sweeps.tracking.client import absolute_uri, prepare, reach
from sweeps.tracking.database import check_database


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A sound file of some pages."""
    path = tmp_path / "mlflow.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table runs (name text, number integer)")
        rows = [(f"run {n} " * 9, n) for n in range(3000)]
        connection.executemany("insert into runs values (?, ?)", rows)
        connection.execute("create index by_name on runs (name)")
    connection.close()
    return path


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


def overwritten(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(path.stat().st_size))


def holed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[8192:16384] = bytes(8192)
    path.write_bytes(data)


def headless(path: Path) -> None:
    path.write_bytes(b"not a database" + path.read_bytes()[14:])


@pytest.mark.parametrize("damage", [truncated, overwritten, holed, headless])
def test_a_damaged_file_is_one_line_at_once(damage: Callable[[Path], None], database: Path) -> None:
    check_database(sqlite_uri(database))
    damage(database)
    for ask in (check_database, prepare, reach):
        began = time.monotonic()
        with pytest.raises(
            UserError, match=r"mlflow\.db is damaged \(.*\): restore a copy"
        ) as said:
            ask(sqlite_uri(database))
        assert "\n" not in str(said.value) and time.monotonic() - began < 10


def test_a_file_that_another_process_holds_is_said_to_be_held(database: Path) -> None:
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("begin exclusive")
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"cannot be read \(database is locked\): another proc"):
        check_database(sqlite_uri(database), patience=0.2)
    assert time.monotonic() - began < 2
    other.execute("rollback")
    check_database(sqlite_uri(database))
    other.close()


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").mkdir()
    with pytest.raises(UserError, match=r"mlflow\.db is a folder"):
        prepare(sqlite_uri(tmp_path / "mlflow.db"))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "store-id").write_text("0" * 16)
    with pytest.raises(UserError, match=r"mlflow\.db is a folder"):
        open_store(tmp_path, None, None)


def test_a_server_or_a_file_that_is_not_there_yet_passes(tmp_path: Path) -> None:
    check_database("http://127.0.0.1:9")
    check_database(sqlite_uri(tmp_path / "none.db"))
    assert list(tmp_path.iterdir()) == []


def test_a_driver_that_is_not_installed_is_one_line() -> None:
    with pytest.raises(
        UserError, match=r"tracking_uri=mssql://\*\*\*@host/db cannot be used"
    ) as said:
        prepare("mssql://user:hunter2@host/db")
    assert "hunter2" not in str(said.value) and "\n" not in str(said.value)


NAMES = ["a?b", "a%20b", "a#b", "a b", "ü&=;", "%41", "x?y=1&z=%3F"]


@pytest.mark.parametrize("name", NAMES)
def test_the_database_of_a_root_lies_in_it_whatever_its_name(name: str, tmp_path: Path) -> None:
    root = tmp_path / name
    uri = absolute_uri(tracking_uri(None, root))
    assert sqlite_path(uri) == database_of(root) == root / "mlflow.db"
    assert absolute_uri(uri) == uri


def test_mlflow_takes_such_a_uri_as_that_file(tmp_path: Path) -> None:
    """It has no schema to make: it is only asked which file it opens."""
    import sqlalchemy

    for name in NAMES:
        path = tmp_path / name / "mlflow.db"
        path.parent.mkdir()
        with sqlalchemy.create_engine(sqlite_uri(path)).connect() as connection:
            connection.execute(sqlalchemy.text("create table t (a int)"))
        assert path.is_file() and path.stat().st_size, name
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)
