"""The tracking server: reaching it, its one atomic step, and telling it what a run shows.

Only this module imports mlflow.
"""

import fcntl
import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from lacuna.errors import UserError
from sweeps import quiet
from sweeps.lease import ArbiterError
from sweeps.records import Data, Point, Record

if TYPE_CHECKING:
    from mlflow import MlflowClient as MlflowClient  # a name for the modules beside this one

log = logging.getLogger(__name__)
T = TypeVar("T")


def absolute_uri(uri: str) -> str:
    """A tracking URI that means the same in every working directory.

    Raises `UserError` for what is neither a database nor a server.
    """
    scheme, mark, rest = uri.partition("://")
    if not mark or scheme == "file":
        raise UserError(
            f"tracking_uri={uri} is not a database or a server: use sqlite:///FILE.db or http://..."
        )
    return f"sqlite:///{Path(rest[1:]).resolve()}" if scheme == "sqlite" else uri


def connect(uri: str) -> "MlflowClient":
    """A client of tracking server and registry, quiet; makes no schema, see `prepare`."""
    quiet.settle(quiet.MLFLOW)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Prints a stack trace for every failed statement; what stays failed is reported in one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def prepare(uri: str) -> "MlflowClient":
    """Connect for the first time: create a SQLite file's schema, or see that the server answers.

    The driver calls this before any worker opens the file: several processes that create the schema
    at once break the file for good, so a file lock lets one through at a time.

    Raises `UserError` if the store cannot be used.
    """
    quiet.settle(quiet.MLFLOW)
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with _schema_lock(uri):
            client = connect(uri)
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"tracking_uri={uri} cannot be used: {reason}") from error
    return client


@contextmanager
def _schema_lock(uri: str) -> Iterator[None]:
    if not uri.startswith("sqlite:///"):
        yield
        return
    path = Path(uri.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def patiently(call: Callable[[], T], attempts: int = 4, pause: float = 0.5) -> T:
    """Call a tracking server, again after `pause`, 2 `pause`, ... seconds if it is away.

    Raises:
        ArbiterError: it stayed away.
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
                raise ArbiterError(" ".join(str(error).split())[:300]) from error
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
class Place:
    """Where a study's runs go; plain values, to send to a worker."""

    uri: str
    study: str
    spool: str
    """Folder of what the server has not been told yet (`sweeps.spool`)."""
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


def close_orphans(client: "MlflowClient", place: Place) -> None:
    """Children of killed workers, which could not close themselves, are closed as killed."""
    running = f"tags.mlflow.parentRunId = '{place.parent}' and attributes.status = 'RUNNING'"
    for run in client.search_runs([place.experiment], running, max_results=1000):
        client.set_terminated(run.info.run_id, "KILLED")


def deliver(client: "MlflowClient", record: Record, attempts: int = 4) -> bool:
    """Tell the server all that `record` holds; False if it stayed away, with the rest kept there.

    Safe to repeat, even if an answer was lost on the way. What the server refuses is named in a
    warning and dropped.
    """
    from mlflow.exceptions import MlflowException

    try:
        patiently(partial(_open, client, record), attempts)
        for name, send in PARTS.items():
            values = getattr(record, name)
            try:
                if values:
                    patiently(partial(send, client, record.run_id, values), attempts)
            except (MlflowException, OSError) as error:  # a folder for artifacts may be closed
                log.warning("%s of %s not logged to MLflow: %s", name, record.name, _line(error))
            values.clear()
        if record.status:
            end = partial(client.set_terminated, record.run_id, record.status, record.ended)
            patiently(end, attempts)
    except ArbiterError as error:
        log.debug("%s", error)
        return False
    except MlflowException as error:
        log.warning("%s not logged to MLflow: %s", record.name, _line(error))
    return True


def _open(client: "MlflowClient", record: Record) -> None:
    """The record's run, by its unique tag: an earlier call may have made it and lost the answer.

    MLflow's client repeats requests by itself, so one creation may make two runs: one stays.
    """
    if record.run_id:
        return
    search = partial(client.search_runs, [record.experiment], f"tags.{UID} = '{record.uid}'")
    runs = search() if record.tried else []
    record.tried = True
    if not runs:
        tags = {**record.tags, UID: record.uid}
        client.create_run(record.experiment, record.started, tags, record.name)
        record.tags.clear()
        runs = search()
    for copy in runs[1:]:
        client.delete_run(copy.info.run_id)
    record.run_id = runs[0].info.run_id


def _send_tags(client: "MlflowClient", run_id: str, tags: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(name, text) for name, text in tags.items()])


def _send_params(client: "MlflowClient", run_id: str, params: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    rows = [Param(name[:250], text[:6000]) for name, text in params.items() if name]
    for start in range(0, len(rows), 100):  # what the server takes at once
        client.log_batch(run_id, params=rows[start : start + 100])


def _send_points(client: "MlflowClient", run_id: str, points: list[Point]) -> None:
    from mlflow.entities import Metric

    for start in range(0, len(points), 1000):
        batch = [Metric(name, value, at, step) for name, value, step, at in points[start:][:1000]]
        client.log_batch(run_id, metrics=batch)


def _send_data(client: "MlflowClient", run_id: str, data: list[Data]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Dataset(
                item["name"],
                item["digest"][:36],  # the column's width
                source_type="code",
                source=json.dumps({"tags": item["source"]}),
                profile=json.dumps(item["profile"]),
            ),
            [InputTag("mlflow.data.context", item["role"])],
        )
        for item in data
    ]
    client.log_inputs(run_id, inputs)


def _send_texts(client: "MlflowClient", run_id: str, texts: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        client.log_artifacts(run_id, folder)


UID = "lacuna.record"
"""Tag that makes a run findable by whoever wants it told, exactly once."""
PARTS: dict[str, Callable[["MlflowClient", str, Any], None]] = {
    "tags": _send_tags,
    "params": _send_params,
    "points": _send_points,
    "data": _send_data,
    "texts": _send_texts,
}
"""Field of a record -> what sends it; each may be repeated without effect."""


def quietly(call: Callable[[], object]) -> None:
    """Ask something of the server, again if it is away; then warn in one line and go on."""
    from mlflow.exceptions import MlflowException

    try:
        patiently(call)
    except (ArbiterError, MlflowException) as error:
        log.warning("not logged to MLflow: %s", _line(error))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
