"""The tracked runs of a study and its stages, with a server that comes and goes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import records
from support.servers import Flaky, files_in

from lacuna.artifacts import write_json
from lacuna.model import Layout
from lacuna.region import Region
from sweeps.stage import Stage
from sweeps.tracking import client, runs
from sweeps.tracking.delivery import DRIVER
from sweeps.tracking.runs import StageRun, Tracker

STAGE = Stage(
    "trial",
    "test npo oracle ratio=0.1 lr=0.01 seed=1",
    {"train": {"lr": 0.01}, "corpus": "c" * 64},
    {"injected": "i" * 64},
    {"objective": "npo", "scenario": "oracle", "seed": "1", "lr": "0.01", "purpose": "test"},
    context={"data": {"name": "synthetic", "people": 8}},
)


def published(folder: Path, run_id: str, region: bool = False) -> Path:
    """What the store holds of a finished stage."""
    write_json(folder / "summary.json", records.search(fs=0.9, aues=0.5))
    write_json(folder / "manifest.json", {"run_id": run_id})
    if region:
        layout = Layout("toy", {"mlp": (4, 8)})
        Region(layout, {"mlp": torch.tensor([1, 5])}, {"seed": "1"}).save(
            folder / "region.safetensors"
        )
    return folder


@pytest.fixture
def tracker(tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """A study that has begun; nobody waits for real."""
    monkeypatch.setattr(client.time, "sleep", lambda _: None)
    monkeypatch.setattr(runs, "FLUSH_SECONDS", 0.0)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    tracker = Tracker(tracking_uri, "toys", tmp_path / "mlflow")
    tracker.begin({"grid": {"seeds": [1, 2]}})
    return tracker


def children(tracker: Tracker) -> list[Any]:
    where = f"tags.mlflow.parentRunId = '{tracker.place.parent}'"
    return list(tracker.client.search_runs([tracker.place.experiment], where))


def unsent(tracker: Tracker) -> list[str]:
    return files_in(Path(tracker.place.spool))


def test_a_trials_run_links_to_its_injection_and_says_what_it_worked_on(
    tracker: Tracker, tmp_path: Path
) -> None:
    injected = published(tmp_path / "injected", "the-injections-run", region=True)
    with StageRun(tracker.place, tracker.client) as run:
        assert not run.begun and run.run_id == ""
        run.begin(STAGE, {"injected": injected})
        run.finish(published(tmp_path / "trial", run.run_id))
    (child,) = children(tracker)
    assert (child.info.run_name, child.info.status) == ("npo oracle seed=1", "FINISHED")
    assert (
        child.data.tags.items()
        >= {
            **STAGE.tags,
            "study": "toys",
            "stage": "trial",
            "key": STAGE.key,
            "input.injected": "i" * 64,
            "input.injected.run_id": "the-injections-run",
        }.items()
    )
    assert child.data.params == {"train/lr": "0.01", "corpus": "c" * 64}
    final = {"aues": 0.5, "fs": 0.9, "rs": 0.8}
    assert child.data.metrics == final | {"curve/fs": 0.9, "curve/rs": 0.8}
    data = {item.dataset.name: item.dataset for item in child.inputs.dataset_inputs}
    assert data["synthetic"].digest == "c" * 36 and "people" in data["synthetic"].source
    assert json.loads(data["target region"].profile)["vectors"] == 2
    names = {file.path for file in tracker.client.list_artifacts(child.info.run_id)}
    assert names == {"manifest.json", "summary.json"} and not unsent(tracker)


def test_the_experiment_keeps_a_view_whose_columns_are_what_a_trials_run_has(
    tracker: Tracker, tmp_path: Path
) -> None:
    with StageRun(tracker.place, tracker.client) as run:
        run.begin(STAGE, {})
        run.finish(published(tmp_path / "out", run.run_id))
    tags = tracker.client.get_experiment(tracker.place.experiment).tags
    shown = json.loads(tags["mlflow.sharedViewState.toys"])
    found = tracker.client.search_runs([tracker.place.experiment], shown["searchFilter"])
    assert {trial.data.tags["mlflow.runName"] for trial in found} == {"npo oracle seed=1"}
    names = {f"tags.`{name}`" for name in found[0].data.tags}
    assert {f"tags.`{name}`" for name in ("objective", "scenario", "seed", "lr", "key")} <= names
    assert names & set(shown["selectedColumns"]) and "metrics.`fs`" in shown["selectedColumns"]
    assert found[0].data.metrics["fs"] == 0.9


def test_equal_regions_are_one_dataset_and_others_are_not(tmp_path: Path) -> None:
    one, same = (published(tmp_path / name, "", region=True) for name in "ab")
    other = published(tmp_path / "c", "")
    layout = Layout("toy", {"mlp": (4, 8)})
    Region(layout, {"mlp": torch.tensor([1, 6])}).save(other / "region.safetensors")
    first, second, third = runs.regions_in([one, same, other])
    assert first == second and first["digest"] != third["digest"]
    assert runs.regions_in([tmp_path]) == []


def test_a_server_that_is_back_before_the_end_has_missed_nothing(
    tracker: Tracker, tmp_path: Path
) -> None:
    client = Flaky(tracker.client, requests=100)
    with StageRun(tracker.place, client) as run:
        run.begin(STAGE, {})
        run.step(1, {"loss": 3.0})
        client.requests = 0
        run.step(2, {"loss": 2.0})
        run.step(3, {"loss": 1.0})
        assert client.requests == -1, "asked once, then left alone"
        client.requests = 100
        run.finish(published(tmp_path / "trial", run.run_id))
    (child,) = children(tracker)
    history = tracker.client.get_metric_history(child.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert child.info.status == "FINISHED" and not unsent(tracker)


def test_a_server_that_stays_away_is_told_later_even_of_a_run_it_never_heard_of(
    tracker: Tracker, tmp_path: Path
) -> None:
    client = Flaky(tracker.client, requests=0)
    with StageRun(tracker.place, client) as run:
        run.begin(STAGE, {})
        run.step(1, {"loss": 3.0})
        assert run.begun and run.run_id == ""
        run.finish(published(tmp_path / "trial", ""))
    with pytest.raises(FloatingPointError), StageRun(tracker.place, client) as run:
        run.begin(replace(STAGE, label="other"), {})
        raise FloatingPointError("loss is nan")
    assert children(tracker) == [] and len(unsent(tracker)) == 2
    said: list[str] = []
    tracker.catch_up(said.append)
    tracker.catch_up(said.append)
    assert said == ["MLflow: runs uploaded that had waited: 2"] and not unsent(tracker)
    good, bad = sorted(children(tracker), key=lambda child: child.info.status, reverse=True)
    assert good.info.status == "FINISHED" and good.data.metrics["train/loss"] == 3.0
    assert bad.info.status == "FAILED"
    assert bad.data.tags["reason"] == "FloatingPointError: loss is nan"


def test_a_spool_that_cannot_be_written_costs_a_warning(
    tracker: Tracker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    place = replace(tracker.place, spool=str(tmp_path / "file" / "unsent"))
    with StageRun(place, Flaky(tracker.client, requests=0)) as run:
        run.begin(STAGE, {})
        run.finish(published(tmp_path / "trial", ""))
    assert "not logged to MLflow, nor kept: npo oracle seed=1: " in caplog.text


def test_the_parent_run_ends_with_counts_and_the_reports_small_files(
    tracker: Tracker, tmp_path: Path
) -> None:
    with StageRun(tracker.place, tracker.client) as run:
        run.begin(STAGE, {})  # its worker is killed now
    report = tmp_path / "toys"
    (report / "report").mkdir(parents=True)
    (report / "report" / "index.html").write_text("<html>é</html>", "utf-8")
    (report / "weights.safetensors").write_bytes(bytes(10))
    tracker.finish({"trained": {"toy": 4}, "failed": {}}, report=report)
    parent = tracker.client.get_run(tracker.place.parent)
    assert (parent.info.status, parent.info.run_name) == ("FINISHED", "toys")
    assert parent.data.metrics == {"trained/toy": 4}
    assert parent.data.params == {"grid/seeds": "[1, 2]"}
    folder = Path(parent.info.artifact_uri.removeprefix("file://"))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path.relative_to(folder).as_posix() for path in files] == ["report/index.html"]
    assert files[0].read_text("utf-8") == "<html>é</html>"
    assert [child.info.status for child in children(tracker)] == ["KILLED"]


def test_a_study_whose_server_is_gone_at_the_end_is_told_by_the_next_one(
    tracker: Tracker, tracking_uri: str, tmp_path: Path
) -> None:
    client, tracker.client = tracker.client, Flaky(tracker.client, requests=0)
    tracker.run.client = tracker.client
    said: list[str] = []
    tracker.finish({}, report=None)
    tracker.catch_up(said.append)
    folder = tracker.place.spool
    assert said == [f"MLflow: runs waiting in {folder} for their server: 1"]
    assert client.get_run(tracker.place.parent).info.status == "RUNNING"
    following = Tracker(tracking_uri, "toys", tmp_path / "mlflow")
    following.begin({})
    following.catch_up(said.append)
    assert said[1:] == ["MLflow: runs uploaded that had waited: 1"]
    assert client.get_run(tracker.place.parent).info.status == "FINISHED"
    assert following.place.parent != tracker.place.parent


def test_a_start_closes_the_runs_of_drivers_that_have_ended(tracker: Tracker) -> None:
    """Killed ones, which could not; those of living drivers stay."""
    begun = StageRun(tracker.place, tracker.client)
    begun.begin(STAGE, {})
    first, place = tracker.place.parent, tracker.place
    other = Tracker(place.uri, "others", tracker.artifact_root)
    other.begin({})
    assert tracker.client.get_run(first).info.status == "RUNNING"
    machine = tracker.client.get_run(first).data.tags[DRIVER].split()[0]
    tracker.client.set_tag(first, DRIVER, f"{machine} 1 12345")  # it was process 1, long ago
    Tracker(place.uri, "others", tracker.artifact_root).begin({})
    assert tracker.client.get_run(first).info.status == "KILLED"
    assert tracker.client.get_run(begun.run_id).info.status == "KILLED"
    assert tracker.client.get_run(other.place.parent).info.status == "RUNNING"
    other.finish({})
