"""The tracking server: reaching it, its one atomic step, and telling it what a run shows.

Only this module imports mlflow.
"""

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from lacuna.errors import UserError
from sweeps.errors import CoordinatorError
from sweeps.paths import sqlite_path, sqlite_uri
from sweeps.secrets import redacted, revealed
from sweeps.tracking.database import check_database

if TYPE_CHECKING:
    from mlflow import MlflowClient as MlflowClient  # a name for the modules beside this one

log = logging.getLogger(__name__)
MLFLOW = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # Who loses a race for a name holds one connection while asking for another: with the default of
    # 15, sixteen losers wait 30 s for each other.
    "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "64",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # we retry too; more of it would only delay the news
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # seconds
}
T = TypeVar("T")


def absolute_uri(uri: str) -> str:
    """A tracking URI that means the same in every working directory.

    Raises `UserError` for what is neither a database nor a server.
    """
    scheme, mark, _ = uri.partition("://")
    if not mark or scheme == "file":
        raise UserError(
            f"tracking_uri={uri} is not a database or a server: use sqlite:///FILE.db or http://..."
        )
    path = sqlite_path(uri)
    return uri if path is None else sqlite_uri(path.resolve())


def _quiet() -> None:
    """Set what MLflow reads from the environment at import, except what the user has set."""
    for name, value in MLFLOW.items():
        os.environ.setdefault(name, value)


def connect(uri: str) -> "MlflowClient":
    """A client of tracking server and registry, quiet; makes no schema, see `prepare`."""
    _quiet()
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Prints a stack trace for every failed statement; what stays failed is reported in one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    uri = revealed(uri)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def prepare(uri: str) -> "MlflowClient":
    """Connect for the first time: create a SQLite file's schema, or see that the server answers.

    The driver calls this before any worker opens the file: several processes that create the schema
    at once break the file for good, so a file lock lets one through at a time.

    Raises `UserError` if the store cannot be used.
    """
    _quiet()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    check_database(uri)
    try:
        with _schema_lock(uri):
            client = connect(uri)
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        reason = redacted(" ".join(str(error).split()))[:200]
        raise UserError(f"tracking_uri={redacted(uri)} cannot be used: {reason}") from error
    return client


def reach(uri: str) -> "MlflowClient":
    """Connect to read only: a file is looked through first, and nothing is made.

    Raises `UserError` or `Unavailable` where the store cannot be used.
    """
    check_database(uri)
    try:
        return connect(uri)
    except ImportError as error:
        raise UserError(f"tracking_uri={redacted(uri)} cannot be used: {error}") from error


@contextmanager
def _schema_lock(uri: str) -> Iterator[None]:
    path = sqlite_path(uri)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def patiently(call: Callable[[], T], attempts: int = 4, pause: float = 0.5) -> T:
    """Call a tracking server; if it cannot be reached, again after `pause`, 2 `pause`, ... seconds.

    Raises:
        CoordinatorError: it stayed away.
        MlflowException: it answered that the request cannot be met.
    """
    from mlflow.exceptions import MlflowException

    answers = ("RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
    for attempt in range(1, attempts + 1):
        try:
            return call()
        except MlflowException as error:
            if error.error_code in answers:
                raise
            if attempt == attempts:
                raise CoordinatorError(redacted(" ".join(str(error).split()))[:300]) from error
        time.sleep(min(pause * 2 ** (attempt - 1), 30.0))
    raise AssertionError("attempts must be at least 1")


def create_name(
    client: "MlflowClient", name: str, tags: Mapping[str, str], attempts: int = 4
) -> bool:
    """Register `name`: MLflow's one atomic step. True only for whoever created it."""
    from mlflow.exceptions import MlflowException

    token = uuid4().hex
    create = partial(client.create_registered_model, name, tags={**tags, "token": token})
    try:
        patiently(create, attempts)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        # After a lost answer and a retry, the creator that came first may be ourselves.
        model = patiently(partial(client.get_registered_model, name))
        return bool(model.tags.get("token") == token)
    return True


@dataclass(frozen=True)
class RunLocation:
    """Where a study's runs go; plain values, to send to a worker."""

    uri: str
    study: str
    spool: str
    """Folder of what the server has not been told yet (`sweeps.tracking.outbox`)."""
    experiment: str = ""
    parent: str = ""


def open_experiment(client: "MlflowClient", name: str, artifacts: Path | None) -> str:
    """The id of an experiment, made if there is none; `artifacts` None leaves them to the server.

    Raises `UserError` if it was deleted.
    """
    from mlflow.exceptions import MlflowException

    location = None if artifacts is None else artifacts.as_uri()
    try:
        return patiently(partial(client.create_experiment, name, location))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    found = patiently(partial(client.get_experiment_by_name, name))
    if found is None or found.lifecycle_stage != "active":
        raise UserError(f"the MLflow experiment {name!r} was deleted: restore it in the UI")
    if location not in (None, found.artifact_location):
        log.warning("this database was moved: its artifacts go to %s", found.artifact_location)
    return str(found.experiment_id)


def experiment_of(client: "MlflowClient", run_id: str) -> str | None:
    """The id of a run's experiment, None if the server has no such run."""
    from mlflow.exceptions import MlflowException

    try:
        return str(patiently(partial(client.get_run, run_id)).info.experiment_id)
    except MlflowException:
        return None


def quietly(call: Callable[[], object]) -> None:
    """Call the server, with retries; if that fails, warn in one line and go on."""
    from mlflow.exceptions import MlflowException

    try:
        patiently(call)
    except (CoordinatorError, MlflowException) as error:
        log.warning("not logged to MLflow: %s", short_line(error))


def short_line(error: Exception) -> str:
    """An error as one line of at most 200 characters."""
    return redacted(" ".join(str(error).split()))[:200]
