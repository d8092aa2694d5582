"""The tracked runs of a study: its parent's, and one child per stage that ran.

They show what the store's files hold. A server that cannot be reached costs no result: what was not
sent waits in the outbox.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from lacuna.artifacts import read_json
from lacuna.results.files import MANIFEST, SUMMARY
from sweeps.errors import CoordinatorError, one_line
from sweeps.process import holder
from sweeps.secrets import hide, redacted_values
from sweeps.stage import Stage
from sweeps.tracking import outbox, ui_view
from sweeps.tracking.client import (
    RunLocation,
    absolute_uri,
    experiment_of,
    open_experiment,
    prepare,
    quietly,
)
from sweeps.tracking.datasets import corpus_of, regions_in
from sweeps.tracking.delivery import DRIVER, close_dead, close_orphans, deliver
from sweeps.tracking.records import Record, flat, metrics, now, run_name

if TYPE_CHECKING:
    from sweeps.tracking.client import MlflowClient

log = logging.getLogger(__name__)

FLUSH_SECONDS = 10.0
SMALL = (".csv", ".html", ".json", ".svg")
"""Files of a report that go to its run."""


class TrackedRun:
    """Sends a record to the server as it grows. Server errors never propagate."""

    def __init__(self, place: RunLocation, client: "MlflowClient", record: Record) -> None:
        """`client` belongs to `place`; nothing is sent yet."""
        self.place, self.client, self.record = place, client, record
        self.away = False

    def send(self, attempts: int = 4) -> None:
        """Send what the server does not have yet. After a failure only `close` tries again."""
        self.away = self.away or not deliver(self.client, self.record, attempts)

    def close(self, status: str) -> None:
        """End the run: send the rest, or keep it in the outbox."""
        self.record.status, self.record.ended = status, now()
        self.away = not deliver(self.client, self.record)
        if not self.away:
            return
        try:
            outbox.keep(Path(self.place.spool), self.place.uri, self.record)
        except OSError as error:
            log.warning("not logged to MLflow, nor kept: %s: %s", self.record.name, error)


class Tracker:
    """A study's parent run, held by the driver."""

    def __init__(self, uri: str, study: str, artifact_root: Path) -> None:
        """Opens the tracking store (`prepare`); raises `UserError` if it cannot be used.

        `artifact_root` takes the artifacts of a database without a server, and the outbox.
        """
        uri, self.artifact_root = absolute_uri(uri), artifact_root.resolve()
        self.client = prepare(uri)
        self.place = RunLocation(hide(uri), study, str(self.artifact_root / "unsent"))

    def begin(self, params: Mapping[str, object]) -> RunLocation:
        """Open the parent run, or adopt the one that `mlflow run` opened for this process."""
        adopted = os.environ.get("MLFLOW_RUN_ID", "")
        experiment = experiment_of(self.client, adopted) if adopted else None
        if adopted and experiment is None:
            log.warning("MLFLOW_RUN_ID=%s is not in %s: opening a run", adopted, self.place.uri)
        if experiment is None:
            # A server knows where its artifacts go; a file's default is the working directory.
            local = self.artifact_root if self.place.uri.startswith("sqlite:") else None
            adopted, experiment = "", open_experiment(self.client, "lacuna", local)
        quietly(partial(close_dead, self.client, experiment))
        tags = {"study": self.place.study, "stage": "study", DRIVER: holder()}
        told = flat(redacted_values(params))
        record = Record(self.place.study, experiment, tags, told, run_id=adopted)
        self.run = TrackedRun(self.place, self.client, record)
        self.run.send()
        if not record.run_id:
            raise CoordinatorError(f"tracking_uri={self.place.uri} opened no run for the study")
        self.place = replace(self.place, experiment=experiment, parent=record.run_id)
        name, shown = f"{ui_view.TAG}{self.place.study}", ui_view.view(self.place.study)
        quietly(partial(self.client.set_experiment_tag, experiment, name, shown))
        return self.place

    def finish(
        self,
        counts: Mapping[str, Mapping[str, int]],
        failed: bool = False,
        report: Path | None = None,
    ) -> None:
        """Close the parent run with its counts (`{"trained": {"injected": 2}}`) and its report."""
        numbers = flat(counts)
        self.run.record.add([(name, float(number), 0) for name, number in numbers.items()])
        if report is not None:
            files = [path for path in sorted(report.rglob("*")) if path.suffix in SMALL]
            self.run.record.texts |= {
                path.relative_to(report).as_posix(): path.read_text("utf-8") for path in files
            }
        self.run.close("FAILED" if failed else "FINISHED")
        if not self.run.away:
            quietly(partial(close_orphans, self.client, self.place))

    def catch_up(self, say: Callable[[str], None]) -> None:
        """Upload what runs left in the outbox, and say in one line how many went and wait."""
        folder = Path(self.place.spool)
        told, waiting = outbox.upload(folder, self.place.uri, self.client)
        said = [f"runs uploaded that had waited: {told}"] if told else []
        said += [f"runs waiting in {folder} for their server: {waiting}"] if waiting else []
        if said:
            say(f"MLflow: {', '.join(said)}")


class Untracked:
    """Stands where a `Tracker` would, for a study that tells no server."""

    def begin(self, params: Mapping[str, object]) -> None:
        """Opens nothing."""

    def finish(
        self,
        counts: Mapping[str, Mapping[str, int]],
        failed: bool = False,
        report: Path | None = None,
    ) -> None:
        """Closes nothing."""

    def catch_up(self, say: Callable[[str], None]) -> None:
        """Nothing has waited."""


class StageRun:
    """The run of one executed stage, a child of the study's; an exception marks it as failed."""

    def __init__(self, place: RunLocation, client: "MlflowClient") -> None:
        """`client` belongs to `place`; nothing is sent before `begin`."""
        self.place, self.client = place, client
        self.run: TrackedRun | None = None
        self._flushed = time.monotonic()

    def __enter__(self) -> "StageRun":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and self.run is not None:
            self.run.record.tags["reason"] = one_line(error)
            self.run.close("FAILED")

    @property
    def begun(self) -> bool:
        """Whether the stage is executed here, rather than found in the store."""
        return self.run is not None

    @property
    def run_id(self) -> str:
        """The run's id on the server; empty if the server could not be reached."""
        return "" if self.run is None else self.run.record.run_id

    def begin(self, stage: Stage, inputs: Mapping[str, Path]) -> None:
        """Open the run, linked to the runs that made its inputs."""
        tags = {**stage.tags, "study": self.place.study, "stage": stage.kind, "key": stage.key}
        tags |= {f"input.{role}": key for role, key in stage.inputs.items()}
        for role, folder in inputs.items():
            tags[f"input.{role}.run_id"] = read_json(folder / MANIFEST)["run_id"]
        if self.place.parent:
            tags["mlflow.parentRunId"] = self.place.parent
        record = Record(run_name(stage), self.place.experiment, tags, flat(stage.params))
        record.data = [*corpus_of(stage), *regions_in(inputs.values())]
        self.run = TrackedRun(self.place, self.client, record)
        self.run.send()

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Training metrics; sent in batches, at most every `FLUSH_SECONDS`."""
        assert self.run is not None, "a stage steps before its run began"
        self.run.record.add([(f"train/{name}", float(v), step) for name, v in values.items()])
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.run.send(attempts=1)  # the training waits meanwhile
            self._flushed = time.monotonic()

    def finish(self, folder: Path) -> None:
        """End the run as finished, with scores, curves and small files of the published folder."""
        assert self.run is not None, "a stage ends before its run began"
        record = self.run.record
        record.add(metrics(read_json(folder / SUMMARY)))
        record.data += regions_in([folder])
        record.texts = {name: (folder / name).read_text("utf-8") for name in (MANIFEST, SUMMARY)}
        self.run.close("FINISHED")

    def superseded(self) -> None:
        """End the run as superseded: another result of the same key was published first."""
        assert self.run is not None, "a stage ends before its run began"
        self.run.record.tags["reason"] = "another result of this key was published first"
        self.run.close("KILLED")
