"""The tracked run of one executed stage."""

import time
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sweeps.graph import Stage
from sweeps.records import Metric, metrics
from sweeps.store import one_line
from sweeps.tracking import Place, log_metrics, log_params, quietly

if TYPE_CHECKING:
    from sweeps.tracking import MlflowClient

FLUSH_SECONDS = 10.0


class StageRun:
    """The child run of one executed stage, which ends badly if its block does.

    Never raises for the server's sake.
    """

    def __init__(self, place: Place, client: "MlflowClient") -> None:
        """`client` belongs to `place`; nothing is sent before `begin`."""
        self.place, self.client = place, client
        self.run_id = ""
        self.begun = False
        self._rows: list[Metric] = []
        self._flushed = time.monotonic()

    def __enter__(self) -> "StageRun":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._flush()
            self._end("FAILED", {"reason": one_line(error)})

    def begin(self, stage: Stage, inputs: Mapping[str, str]) -> None:
        """Open the run; `inputs` maps a role to the run id that made it."""
        self.begun = True
        tags = {**stage.tags, "study": self.place.study, "stage": stage.kind, "key": stage.key}
        tags |= {f"input.{role}": key for role, key in stage.inputs.items()}
        tags |= {f"input.{role}.run_id": run_id for role, run_id in inputs.items()}
        if self.place.parent:
            tags["mlflow.parentRunId"] = self.place.parent
        quietly(partial(self._create, stage, tags))

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Training metrics; sent in batches, at most every `FLUSH_SECONDS`."""
        self._rows += [(f"train/{name}", float(value), step) for name, value in values.items()]
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self._flush()

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Final scores and curves, and the run's good end."""
        self._rows += metrics(summary)
        self._flush()
        self._end("FINISHED", {})

    def superseded(self) -> None:
        """The work was done, but somebody else's result was published first."""
        self._end("KILLED", {"reason": "another result of this key was published first"})

    def _create(self, stage: Stage, tags: Mapping[str, str]) -> None:
        if not self.run_id:  # a second try must not open a second run
            create = partial(self.client.create_run, self.place.experiment)
            self.run_id = create(tags=dict(tags), run_name=stage.label).info.run_id
        log_params(self.client, self.run_id, stage.params)

    def _flush(self) -> None:
        rows, self._rows, self._flushed = self._rows, [], time.monotonic()
        if self.run_id and rows:
            quietly(partial(log_metrics, self.client, self.run_id, rows))

    def _end(self, status: str, tags: Mapping[str, str]) -> None:
        if not self.run_id:
            return
        for name, value in tags.items():
            quietly(partial(self.client.set_tag, self.run_id, name, value))
        quietly(partial(self.client.set_terminated, self.run_id, status))
