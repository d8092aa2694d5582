"""Tracking servers that go away, and what a test can see of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


class Flaky:
    """The client of a server that serves so many requests and then is gone.

    With `lost` it still does what the last of them asks, but its answer gets lost.
    """

    def __init__(self, client: Any, requests: float, lost: bool = False) -> None:
        self.client, self.requests, self.lost = client, requests, lost

    def __getattr__(self, name: str) -> Callable[..., Any]:
        from mlflow.exceptions import MlflowException

        def call(*args: Any, **more: Any) -> Any:
            self.requests -= 1
            if self.requests < 0:
                raise MlflowException("connection refused")
            answer = getattr(self.client, name)(*args, **more)
            if self.lost and self.requests == 0:
                raise MlflowException("connection reset")
            return answer

        return call


def shown(client: Any, run: Any) -> dict[str, Any]:
    """All that the UI shows of a run but its ids."""
    names = client.get_run(run.info.run_id).data.metrics
    files = Path(run.info.artifact_uri.removeprefix("file://"))
    return {
        "name": run.info.run_name,
        "times": (run.info.status, run.info.start_time, run.info.end_time),
        "tags": {k: v for k, v in run.data.tags.items() if k != "lacuna.record"},
        "params": run.data.params,
        "points": {
            name: [(p.value, p.step, p.timestamp) for p in history]
            for name in names
            for history in [client.get_metric_history(run.info.run_id, name)]
        },
        "data": [item.to_dictionary() for item in run.inputs.dataset_inputs],
        "texts": {
            path.relative_to(files).as_posix(): path.read_text()
            for path in files.rglob("*")
            if path.is_file()
        },
    }


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*") if path.name != ".lock"]
