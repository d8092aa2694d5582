"""What runs when, what fits where, and how often a server that is away is asked."""

import logging
import socket

import pytest

from lacuna.errors import UserError
from sweeps.engine.on_ray.cluster import check_address, check_fits
from sweeps.engine.scheduler import Result, Schedule, failure
from sweeps.errors import CoordinatorError
from sweeps.stage import Stage
from sweeps.tracking import client


def stage(label: str, *inputs: Stage, cpus: float = 1.0, gpus: float = 0.0) -> Stage:
    keys = {parent.label: parent.key for parent in inputs}
    return Stage("toy", label, {"label": label}, keys, {"seed": "1"}, cpus=cpus, gpus=gpus)


def test_stages_become_ready_in_dependency_order_and_each_only_once() -> None:
    top = stage("top")
    left, right = stage("left", top), stage("right", top)
    bottom = stage("bottom", left, right)
    heard: list[tuple[str, str]] = []
    schedule = Schedule(
        [bottom, left, right, top, top], {}, lambda s, how: heard.append((s.label, how))
    )
    assert schedule.ready() == [top] and schedule.ready() == []
    schedule.close(top, {"value": 1}, "trained")
    assert schedule.ready() == [left, right]
    schedule.close(right, {"value": 3}, "trained")
    assert schedule.ready() == []
    schedule.close(left, {"value": 2}, "trained")
    assert schedule.ready() == [bottom]
    schedule.close(bottom, {"value": 4}, "trained")
    assert schedule.outcome()[left.key] == {"value": 2} and len(schedule.outcome()) == 4
    assert [label for label, _ in heard] == ["top", "right", "left", "bottom"]


def test_a_failure_fails_all_that_needs_it_and_nothing_else_even_in_a_later_call() -> None:
    bad, good = stage("bad"), stage("good")
    child, grandchild = stage("child", bad, good), stage("grandchild", stage("child", bad, good))
    results: dict[str, Result] = {}
    schedule = Schedule([grandchild, child, bad, good], results, lambda *_: None)
    assert schedule.ready() == [bad, good]
    schedule.close(bad, failure(bad, "loss is not finite"), "failed")
    assert schedule.ready() == []
    schedule.close(good, {"value": 1}, "trained")
    assert results[child.key] == {
        "failed": "needs bad, which failed",
        "label": "child",
        "tags": {"seed": "1"},
    }
    assert results[grandchild.key]["failed"] == "needs child, which failed"
    later = stage("later", child)
    second = Schedule([later], results, lambda *_: None)
    assert second.ready() == [] and second.outcome()[later.key]["failed"].startswith("needs child")


def test_what_the_store_has_is_closed_first_and_is_not_run() -> None:
    top = stage("top")
    child = stage("child", top)
    schedule = Schedule([child, top], {}, lambda *_: None)
    schedule.take_found({top.key: {"value": 1}})
    assert schedule.ready() == [child]


def test_a_stage_must_fit_on_one_node() -> None:
    nodes = [{"CPU": 2.0}, {"CPU": 16.0, "GPU": 1.0}]
    check_fits(stage("fits", cpus=16.0, gpus=0.5), nodes)
    with pytest.raises(UserError, match=r"^wide needs 17 CPU, but no Ray node .*most: 16 CPU"):
        check_fits(stage("wide", cpus=17.0), nodes)
    with pytest.raises(UserError, match=r"needs 1 CPU and 2 GPU, .*most: 16 CPU and 1 GPU"):
        check_fits(stage("two", gpus=2.0), nodes)


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check_address(f"127.0.0.1:{port}")
    with pytest.raises(UserError, match=f"nothing answers at address=127.0.0.1:{port}"):
        check_address(f"127.0.0.1:{port}")
    for bad in ("localhost", "host:port", "host:99999", ":6379"):
        with pytest.raises(UserError, match="is not HOST:PORT"):
            check_address(bad)


def test_a_server_that_is_away_is_asked_again_and_then_costs_one_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException

    waited: list[float] = []
    monkeypatch.setattr(client.time, "sleep", waited.append)
    asked: list[int] = []

    def away() -> None:
        asked.append(1)
        raise MlflowException("connection\nrefused")

    with caplog.at_level(logging.WARNING):
        client.quietly(away)
    assert len(asked) == 4 and waited == [0.5, 1.0, 2.0]
    assert [record.getMessage() for record in caplog.records] == [
        "not logged to MLflow: connection refused"
    ]
    with pytest.raises(CoordinatorError, match="connection refused"):
        client.patiently(away, attempts=1)


def test_a_server_that_comes_back_has_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException

    monkeypatch.setattr(client.time, "sleep", lambda _: None)
    answers = iter([MlflowException("away"), MlflowException("away"), 7])

    def call() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert client.patiently(call) == 7
