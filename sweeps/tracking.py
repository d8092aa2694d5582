"""MLflow: one parent run per study, one child per stage that ran. Only this module imports mlflow.

What a run shows is a view of the store's files. A server that is away while something is logged
costs a warning, never a result.
"""

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from lacuna.errors import UserError
from sweeps import quiet, records
from sweeps.lease import ArbiterError

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
    experiment: str = ""
    parent: str = ""


class Tracker:
    """A study's parent run, held by the driver."""

    def __init__(self, uri: str, study: str, artifact_root: Path) -> None:
        """Opens the tracking store (`prepare`); raises `UserError` if it cannot be used."""
        uri = absolute_uri(uri)
        self.client = prepare(uri)
        self.place = Place(uri, study)
        self.artifact_root = artifact_root.resolve()

    def begin(self, params: Mapping[str, Any]) -> Place:
        """Open the parent run, or adopt the one that `mlflow run` opened for this process."""
        adopted = self._adopted()
        if adopted is None:
            experiment = self._experiment("lacuna")
            run = patiently(partial(self.client.create_run, experiment, run_name=self.place.study))
            adopted = run.info.run_id, experiment
        parent, experiment = adopted
        self.place = replace(self.place, experiment=experiment, parent=parent)
        quietly(partial(self.client.set_tag, parent, "study", self.place.study))
        quietly(partial(log_params, self.client, parent, params))
        return self.place

    def finish(self, counts: Mapping[str, Mapping[str, int]], failed: bool = False) -> None:
        """Close the parent run with its counts (`{"trained": {"injected": 2}}`).

        Children of killed workers, which could not close themselves, are closed as killed.
        """
        parent = self.place.parent
        rows = [
            (f"{what}/{kind}", float(number), 0)
            for what, kinds in counts.items()
            for kind, number in kinds.items()
        ]
        quietly(partial(log_metrics, self.client, parent, rows))
        quietly(self._close_orphans)
        quietly(partial(self.client.set_terminated, parent, "FAILED" if failed else "FINISHED"))

    def _adopted(self) -> tuple[str, str] | None:
        from mlflow.exceptions import MlflowException

        run_id = os.environ.get("MLFLOW_RUN_ID")
        if not run_id:
            return None
        try:
            run = patiently(partial(self.client.get_run, run_id))
        except MlflowException:
            log.warning("MLFLOW_RUN_ID=%s is not in %s: opening a run", run_id, self.place.uri)
            return None
        return run_id, run.info.experiment_id

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        # A server knows where its artifacts go; a file's default would be the working directory.
        local = self.place.uri.startswith("sqlite:")
        location = self.artifact_root.as_uri() if local else None
        try:
            return patiently(partial(self.client.create_experiment, name, location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = patiently(partial(self.client.get_experiment_by_name, name))
        if found is None or found.lifecycle_stage != "active":
            raise UserError(f"the MLflow experiment {name!r} was deleted: restore it in the UI")
        return str(found.experiment_id)

    def _close_orphans(self) -> None:
        running = (
            f"tags.mlflow.parentRunId = '{self.place.parent}' and attributes.status = 'RUNNING'"
        )
        for run in self.client.search_runs([self.place.experiment], running, max_results=1000):
            self.client.set_terminated(run.info.run_id, "KILLED")


def log_params(client: "MlflowClient", run_id: str, params: Mapping[str, Any]) -> None:
    """Log nested parameters as `a/b`, in batches the server takes; long values are cut."""
    from mlflow.entities import Param

    rows = [Param(name[:250], text[:6000]) for name, text in records.flat(params).items() if name]
    for start in range(0, len(rows), 100):
        client.log_batch(run_id, params=rows[start : start + 100])


def log_metrics(client: "MlflowClient", run_id: str, rows: list[records.Metric]) -> None:
    """Log (name, value, step) rows, in batches the server takes."""
    from mlflow.entities import Metric

    stamp = int(time.time() * 1000)
    for start in range(0, len(rows), 1000):
        batch = [Metric(name, value, stamp, step) for name, value, step in rows[start:][:1000]]
        client.log_batch(run_id, metrics=batch)


def quietly(call: Callable[[], object]) -> None:
    """Log something, again if the server is away; then warn in one line and go on."""
    from mlflow.exceptions import MlflowException

    try:
        patiently(call)
    except (ArbiterError, MlflowException) as error:
        log.warning("not logged to MLflow: %s", " ".join(str(error).split())[:200])
