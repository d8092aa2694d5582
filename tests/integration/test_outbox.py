"""Runs reach their server whole and once, however often it goes away in between."""

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.servers import Flaky, files_in, shown

from sweeps.tracking import client as tracking_client
from sweeps.tracking import outbox
from sweeps.tracking.client import connect, open_experiment
from sweeps.tracking.delivery import deliver
from sweeps.tracking.records import Record

RECORD = Record(
    "npo oracle seed=1",
    "",
    tags={"study": "toys", "reason": "two\nlines"},
    params={f"train/p{n:03d}": str(n) for n in range(150)},  # two batches
    uid="0",
    started=1_700_000_000_000,
    points=[("curve/fs", n / 20, 5 * n, 1_700_000_001_000) for n in range(21)],
    data=[
        {"name": "target region", "digest": "ab" * 32, "role": "target region"}
        | {"source": {"seed": "1"}, "profile": {"vectors": 3}}
    ],
    texts={"manifest.json": "{}\n", "tables/main.csv": "a,b\n1,é\n"},
    status="FINISHED",
    ended=1_700_000_009_000,
)


@pytest.fixture
def client(tracking_uri: str) -> Any:
    return connect(tracking_uri)


@pytest.fixture
def record(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """A finished run of this test's own experiment; nobody waits for real."""
    monkeypatch.setattr(tracking_client.time, "sleep", lambda _: None)
    experiment = open_experiment(client, str(tmp_path), tmp_path / "artifacts")
    return replace(deepcopy(RECORD), experiment=experiment)


def runs_of(client: Any, record: Record) -> list[Any]:
    return list(client.search_runs([record.experiment]))


def test_a_run_is_shown_with_all_that_its_record_holds(client: Any, record: Record) -> None:
    assert deliver(client, record)
    (run,) = runs_of(client, record)
    assert run.info.run_id == record.run_id
    seen = shown(client, run)
    assert seen["name"] == RECORD.name and seen["params"] == RECORD.params
    assert seen["tags"].items() >= RECORD.tags.items()
    assert seen["times"] == ("FINISHED", RECORD.started, RECORD.ended)
    assert [step for _, step, _ in seen["points"]["curve/fs"]] == list(range(0, 101, 5))
    assert seen["texts"] == RECORD.texts
    (item,) = seen["data"]
    assert item["tags"] == {"mlflow.data.context": "target region"}
    assert item["dataset"]["digest"] == ("ab" * 32)[:36]
    assert json.loads(item["dataset"]["source"]) == {"tags": {"seed": "1"}}
    assert not (record.tags or record.params or record.points or record.data or record.texts)


@pytest.mark.parametrize("lost", [False, True])
def test_an_upload_cut_off_anywhere_and_repeated_shows_each_run_once(
    client: Any, tracking_uri: str, record: Record, tmp_path: Path, lost: bool
) -> None:
    folder, cuts, whole = tmp_path / "unsent", 0, False
    while not whole:
        outbox.keep(folder, tracking_uri, replace(record, uid=f"{lost}{cuts}"))
        told, waiting = outbox.upload(folder, tracking_uri, Flaky(client, cuts, lost))
        assert told + waiting == 1 and len(files_in(folder)) == waiting
        whole = told == 1
        assert outbox.upload(folder, tracking_uri, client) == (waiting, 0) and not files_in(folder)
        cuts += 1
    runs = runs_of(client, record)
    assert cuts >= 9 and len(runs) == cuts
    assert len({run.data.tags["lacuna.record"] for run in runs}) == cuts
    seen = [shown(client, run) for run in runs]
    assert all(one == seen[0] for one in seen)
    assert seen[0]["texts"] == RECORD.texts and len(seen[0]["points"]["curve/fs"]) == 21


def test_a_creation_that_was_sent_twice_leaves_one_run(client: Any, record: Record) -> None:
    class Repeating(Flaky):
        def create_run(self, *args: Any) -> Any:
            self.client.create_run(*args)
            return self.client.create_run(*args)

    assert deliver(Repeating(client, 100), record)
    (run,) = runs_of(client, record)
    assert run.info.run_id == record.run_id and run.info.status == "FINISHED"


def test_two_uploads_at_once_show_each_run_once_and_in_order(
    client: Any, tracking_uri: str, record: Record, tmp_path: Path
) -> None:
    folder = tmp_path / "unsent"
    for n in (3, 1, 2, 0):
        outbox.keep(
            folder, tracking_uri, replace(record, name=f"run {n}", uid=f"two{n}", ended=10**n)
        )
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(outbox.upload, folder, tracking_uri, client) for _ in range(2)]
        assert sum(job.result()[0] for job in jobs) == 4
    assert not files_in(folder)
    rows = sqlite3.connect(tracking_uri.removeprefix("sqlite:///")).execute(
        "SELECT name FROM runs WHERE experiment_id=? ORDER BY rowid", (record.experiment,)
    )
    assert [name for (name,) in rows] == [f"run {n}" for n in range(4)]


def test_records_of_another_server_wait_for_it(
    client: Any, tracking_uri: str, record: Record, tmp_path: Path
) -> None:
    folder = tmp_path / "unsent"
    assert outbox.upload(folder, tracking_uri, client) == (0, 0) and not folder.exists()
    outbox.keep(folder, "http://elsewhere:5000", record)
    outbox.keep(folder, tracking_uri, replace(record, uid="here"))
    assert outbox.upload(folder, tracking_uri, client) == (1, 1)
    assert len(files_in(folder)) == len(runs_of(client, record)) == 1


def test_what_the_server_refuses_is_named_and_does_not_hold_up_the_rest(
    client: Any, record: Record, caplog: pytest.LogCaptureFixture
) -> None:
    record.points = [("bad*name", 1.0, 0, 1)]
    assert deliver(client, record)
    assert "points of npo oracle seed=1 not logged to MLflow: " in caplog.text
    (run,) = runs_of(client, record)
    assert run.info.status == "FINISHED" and shown(client, run)["texts"] == RECORD.texts


def test_a_closed_artifact_folder_costs_the_artifacts_only(
    client: Any, record: Record, caplog: pytest.LogCaptureFixture
) -> None:
    class Closed(Flaky):
        def log_artifacts(self, *_: Any) -> None:
            raise PermissionError(13, "Permission denied")

    assert deliver(Closed(client, 100), record)
    assert "texts of npo oracle seed=1 not logged to MLflow: [Errno 13]" in caplog.text
    (run,) = runs_of(client, record)
    assert run.info.status == "FINISHED" and run.data.params == RECORD.params


def test_a_moved_database_says_where_its_artifacts_go(
    client: Any, record: Record, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert open_experiment(client, str(tmp_path), tmp_path / "artifacts") == record.experiment
    assert not caplog.records
    assert open_experiment(client, str(tmp_path), tmp_path / "moved") == record.experiment
    assert f"artifacts go to {(tmp_path / 'artifacts').as_uri()}" in caplog.text


def test_among_two_thousand_runs_one_is_told_at_once(
    client: Any, tracking_uri: str, record: Record, tmp_path: Path
) -> None:
    assert deliver(client, replace(deepcopy(record), uid="model"))
    with sqlite3.connect(tracking_uri.removeprefix("sqlite:///")) as database:
        (old,) = [run.info.run_id for run in runs_of(client, record)]
        for table in ("runs", "tags", "latest_metrics"):
            rows = list(database.execute(f"SELECT * FROM {table} WHERE run_uuid=?", (old,)))
            marks = ", ".join("?" * len(rows[0]))
            clones = [
                [f"{n:032x}" if value == old else value for value in row]
                for n in range(2000)
                for row in rows
            ]
            database.executemany(f"INSERT INTO {table} VALUES ({marks})", clones)
        database.execute("UPDATE tags SET value = run_uuid WHERE key = 'lacuna.record'")
    start = time.monotonic()
    assert deliver(client, record)
    assert time.monotonic() - start < 2.0
    assert int(record.run_id, 16) >= 2000, "a run of its own"
