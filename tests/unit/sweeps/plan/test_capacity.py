"""A study is refused in one line where this machine cannot run it."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lacuna.errors import UserError
from sweeps.config.compose import configure
from sweeps.plan.capacity import check_host
from sweeps.plan.estimate import Estimate, estimate_study
from sweeps.plan.make import make_planner


def estimate(tmp_path: Path, *overrides: str) -> Estimate:
    given = ["study=smoke", f"artifacts={tmp_path / 'a' / 'b'}", *overrides]
    return estimate_study(make_planner(configure(given)))


def refused(found: Estimate) -> str:
    with pytest.raises(UserError) as caught:
        check_host(found)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def gpus(monkeypatch: pytest.MonkeyPatch, number: int, memory: float) -> None:
    """As if the machine had them."""
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: number)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda i: SimpleNamespace(total_memory=memory)
    )


def test_a_small_study_fits_any_machine(tmp_path: Path) -> None:
    check_host(estimate(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_no_gpu_and_an_old_driver_are_told_with_what_torch_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found 11040). Update it.")

    monkeypatch.setattr(torch.cuda, "init", init)
    said = refused(estimate(tmp_path, "resources.trial.gpus=2"))
    assert re.match(
        r"study smoke on embedded needs 2 GPU a stage \(the largest, test, takes ", said
    )
    assert "found none (The NVIDIA driver on your system is too old (found 11040)): " in said
    assert "address=HOST:PORT" in said and "study=mini" in said


def test_a_cluster_answers_for_its_own_gpus(tmp_path: Path) -> None:
    check_host(estimate(tmp_path, "resources.gpus=1", "address=10.0.0.1:6379"))


def test_a_gpu_that_is_too_small_is_refused_by_the_stage_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = estimate(tmp_path, "resources.gpus=1")
    memory = found.row("retained").memory
    gpus(monkeypatch, 1, found.row("test").memory)
    check_host(found)
    gpus(monkeypatch, 1, memory - 1)
    assert "stage base" in refused(found) and "run a smaller model" in refused(found)
    found = estimate(tmp_path, "resources.gpus=1", "scenarios=[full]")
    gpus(monkeypatch, 1, found.row("test").memory - 1)
    said = refused(found)
    assert "stage test" in said and "spread its training (unlearn.parallel.zero=3 " in said
    assert "(attack.relearn_lrs=[] attack.benign_lrs=[])" in said
    several = estimate(tmp_path, "resources.gpus=2")
    gpus(monkeypatch, 1, 1e12)
    assert "needs 2 GPU a stage" in refused(several) and "found 1: " in refused(several)


def test_too_little_disk_is_refused_where_the_store_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def usage(place: Path) -> SimpleNamespace:
        asked.append(place)
        return SimpleNamespace(free=1000)

    monkeypatch.setattr("sweeps.plan.capacity.shutil.disk_usage", usage)
    said = refused(estimate(tmp_path))
    assert asked == [tmp_path] and "1 kB free: make room" in said and "store=FOLDER" in said
    (tmp_path / "s").mkdir()
    refused(estimate(tmp_path, f"store={tmp_path / 's'}"))
    assert asked[-1] == tmp_path / "s"
    check_host(estimate(tmp_path, "store=memory://bucket/prefix"))
