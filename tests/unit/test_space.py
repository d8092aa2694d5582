"""A study is refused before it starts where its results have no room or no permission."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from lacuna.errors import UserError
from sweeps import space
from sweeps.configure import configure
from sweeps.estimate import Outlook, foresee
from sweeps.plan import make_planner
from sweeps.space import RESERVE, check_space

Usage = namedtuple("Usage", "total used free")


def planned(*words: str) -> Outlook:
    return foresee(make_planner(configure(["study=smoke", *words])))


def free(monkeypatch: pytest.MonkeyPatch, amounts: dict[Path, float]) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, amounts[Path(path)]))


def test_the_estimate_and_a_reserve_must_be_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(f"artifacts={tmp_path / 'not' / 'yet'}")
    needed = RESERVE + plan.disk
    assert plan.disk > 1e6
    free(monkeypatch, {tmp_path: needed})
    check_space(plan)
    free(monkeypatch, {tmp_path: needed - 1})
    with pytest.raises(UserError, match="MB free, and the study needs 5") as caught:
        check_space(plan)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_store_elsewhere_takes_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, store = tmp_path / "root", tmp_path / "store"
    root.mkdir()
    store.mkdir()
    plan = planned(f"artifacts={root}", f"store={store}")
    free(monkeypatch, {root: RESERVE, store: plan.disk})
    check_space(plan)
    free(monkeypatch, {root: RESERVE, store: plan.disk - 1})
    with pytest.raises(UserError, match=str(store)):
        check_space(plan)


def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space.os, "access", lambda path, _: Path(path) != tmp_path)
    with pytest.raises(UserError, match=f"may not write to {tmp_path}.*--user"):
        check_space(planned(f"artifacts={tmp_path}"))
