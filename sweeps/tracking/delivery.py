"""Sends records to the tracking server; safe to repeat."""

import json
import logging
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.errors import CoordinatorError
from sweeps.process import is_gone
from sweeps.tracking.client import RunLocation, patiently, short_line
from sweeps.tracking.records import Dataset, Point, Record

if TYPE_CHECKING:
    from sweeps.tracking.client import MlflowClient

log = logging.getLogger(__name__)
Part = tuple[str, dict[str, str] | list[Point] | list[Dataset], Callable[[], None]]
"""Name, values, and what sends them."""


def close_orphans(client: "MlflowClient", place: RunLocation) -> None:
    """Close the child runs of killed workers, which could not do so themselves, as killed."""
    running = f"tags.mlflow.parentRunId = '{place.parent}' and attributes.status = 'RUNNING'"
    for run in client.search_runs([place.experiment], running, max_results=1000):
        client.set_terminated(run.info.run_id, "KILLED")


DRIVER = "lacuna.driver"
"""Tag of a study's run that names its driver (`sweeps.process.holder`)."""


def close_dead(client: "MlflowClient", experiment: str) -> None:
    """Close the runs of studies whose drivers have certainly ended, with all their children."""
    running = "attributes.status = 'RUNNING'"
    parents = f"{running} and tags.stage = 'study'"
    for run in client.search_runs([experiment], parents, max_results=1000):
        if is_gone(run.data.tags.get(DRIVER, "")):
            below = f"{running} and tags.mlflow.parentRunId = '{run.info.run_id}'"
            for child in client.search_runs([experiment], below, max_results=1000):
                client.set_terminated(child.info.run_id, "KILLED")
            client.set_terminated(run.info.run_id, "KILLED")


def deliver(client: "MlflowClient", record: Record, attempts: int = 4) -> bool:
    """Send all that `record` holds; False if the server stayed away. What was sent is removed.

    Safe to repeat, even if an answer was lost on the way. What the server refuses is named in a
    warning and dropped.
    """
    from mlflow.exceptions import MlflowException

    try:
        patiently(partial(_open, client, record), attempts)
        for name, values, send in _parts(client, record):
            try:
                if values:
                    patiently(send, attempts)
            except (MlflowException, OSError) as error:  # a folder for artifacts may be closed
                log.warning(
                    "%s of %s not logged to MLflow: %s", name, record.name, short_line(error)
                )
            values.clear()
        if record.status:
            end = partial(client.set_terminated, record.run_id, record.status, record.ended)
            patiently(end, attempts)
    except CoordinatorError as error:
        log.debug("%s", error)
        return False
    except MlflowException as error:
        log.warning("%s not logged to MLflow: %s", record.name, short_line(error))
    return True


def _parts(client: "MlflowClient", record: Record) -> list[Part]:
    """The parts of a record and what sends them; sending one twice has no effect."""
    run_id = record.run_id
    return [
        ("tags", record.tags, partial(_send_tags, client, run_id, record.tags)),
        ("params", record.params, partial(_send_params, client, run_id, record.params)),
        ("points", record.points, partial(_send_points, client, run_id, record.points)),
        ("data", record.data, partial(_send_data, client, run_id, record.data)),
        ("texts", record.texts, partial(_send_texts, client, run_id, record.texts)),
    ]


def _open(client: "MlflowClient", record: Record) -> None:
    """Create the record's run, or find it by its unique tag if an earlier answer was lost.

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


def _send_data(client: "MlflowClient", run_id: str, data: list[Dataset]) -> None:
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
"""Tag that identifies a run across retries, so that it is created once."""
