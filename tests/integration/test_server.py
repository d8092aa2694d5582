"""A real MLflow server that is killed in the middle of a study, and started again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from support.servers import files_in

from lacuna.artifacts import write_json
from sweeps.stage import Stage
from sweeps.tracking.runs import StageRun, Tracker

SUMMARY = {
    "purpose": "search",
    "aues": 0.5,
    "fs_end": 0.9,
    "rs_end": 0.8,
    "alphas": [0.0, 0.5, 1.0],
    "curve": {"fs": [0.1, 0.5, 0.9]},
}


@contextmanager
def server(folder: Path, port: int) -> Iterator[None]:
    """Serves from `folder`; killed at the end with all its processes."""
    log = (folder / "server.log").open("a")
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"),
        *("--port", str(port), "--backend-store-uri", f"sqlite:///{folder}/server.db"),
        *("--artifacts-destination", str(folder / "served")),
    ]
    quick = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(
        command, env=os.environ | quick, stdout=log, stderr=log, start_new_session=True
    )
    try:
        wait_for(port, process)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(2000):
        assert process.poll() is None, "the server ended"
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def stage(name: str) -> Stage:
    tags = {"objective": name, "scenario": "oracle", "seed": "1", "purpose": "test"}
    params = {"train": {"lr": 0.01}, "corpus": "c" * 64}
    return Stage("trial", name, params, {}, tags, context={"data": {"name": "synthetic"}})


def finish(run: StageRun, folder: Path) -> None:
    run.step(2, {"loss": 0.25})
    write_json(folder / "summary.json", SUMMARY)
    write_json(folder / "manifest.json", {"run_id": run.run_id})
    run.finish(folder)


def shown(client: Any, run_id: str) -> dict[str, Any]:
    """What the UI shows of a run but names, ids and times."""
    run = client.get_run(run_id)
    histories = {name: client.get_metric_history(run_id, name) for name in run.data.metrics}
    return {
        "status": run.info.status,
        "tags": {name: run.data.tags[name] for name in ("study", "scenario", "seed", "stage")},
        "params": run.data.params,
        "points": {n: [(p.step, p.value) for p in points] for n, points in histories.items()},
        "data": [item.to_dictionary() for item in run.inputs.dataset_inputs],
        "files": sorted(file.path for file in client.list_artifacts(run_id)),
    }


def test_a_study_whose_server_dies_is_shown_whole_once_the_server_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # ours are enough to wait for
    port, report, said = free_port(), tmp_path / "toys", list[str]()
    uri = f"http://127.0.0.1:{port}"
    write_json(report / "tables" / "main.json", {"rows": []})
    with server(tmp_path, port):
        tracker = Tracker(uri, "toys", tmp_path / "mlflow")
        place = tracker.begin({"seeds": [1]})
        tracker.catch_up(said.append)
        undisturbed = StageRun(place, tracker.client)
        undisturbed.begin(stage("undisturbed"), {})
        undisturbed.step(1, {"loss": 0.5})
        finish(undisturbed, tmp_path / "undisturbed")
        running = StageRun(place, tracker.client)
        running.begin(stage("running"), {})
        running.step(1, {"loss": 0.5})
    finish(running, tmp_path / "running")
    unheard = StageRun(place, tracker.client)
    unheard.begin(stage("unheard"), {})
    unheard.step(1, {"loss": 0.5})
    finish(unheard, tmp_path / "unheard")
    tracker.finish({"trained": {"trial": 3}}, report=report)
    tracker.catch_up(said.append)
    assert len(files_in(Path(place.spool))) == 3
    assert said == [f"MLflow: runs waiting in {place.spool} for their server: 3"]
    with server(tmp_path, port):
        following = Tracker(uri, "toys", tmp_path / "mlflow")
        following.begin({"seeds": [1]})
        following.catch_up(said.append)
        following.catch_up(said.append)
        client = following.client
        assert said[1:] == ["MLflow: runs uploaded that had waited: 3"]
        where = f"tags.mlflow.parentRunId = '{place.parent}'"
        runs = {run.info.run_name: run for run in client.search_runs([place.experiment], where)}
        assert set(runs) == {f"{name} oracle seed=1" for name in ("undisturbed", "running")} | {
            "unheard oracle seed=1"
        }
        expected, *others = (shown(client, run.info.run_id) for run in runs.values())
        assert all(other == expected for other in others)
        assert expected["points"]["train/loss"] == [(1, 0.5), (2, 0.25)]
        assert expected["files"] == ["manifest.json", "summary.json"]
        parent = client.get_run(place.parent)
        assert parent.info.status == "FINISHED" and parent.data.metrics == {"trained/trial": 3}
        assert [file.path for file in client.list_artifacts(place.parent)] == ["tables"]
