"""The engine of one process with toy stages: order, reuse, failures, Ctrl-C, and Ray's results."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.stores import MemoryCoordinator

from lacuna.errors import UserError
from sweeps.engine.local import LocalEngine
from sweeps.stage import Stage
from sweeps.store.coordinator import FolderCoordinator, adopt
from sweeps.store.local import LocalStorage
from sweeps.store.store import Store

RAN: list[str] = []


def toy(
    stage: Stage,
    inputs: Mapping[str, Path],
    out: Path,
    on_step: Callable[[int, Mapping[str, float]], None],
) -> dict[str, Any]:
    """Sums its inputs' values and its own; may be stopped once, by a file that it removes."""
    RAN.append(stage.label)
    on_step(1, {"loss": 0.5})
    if stage.params.get("fail") == "bad":
        raise UserError("temperature=-1 is not positive: choose one above 0")
    if stage.params.get("fail") == "bug":
        raise KeyError("a bug")
    stop = Path(str(stage.context.get("stop", "none")))
    if stop.is_file():
        stop.unlink()
        (Path(str(stage.context["scratch"]))).mkdir(parents=True)
        raise KeyboardInterrupt
    total = stage.params["value"]
    for folder in inputs.values():
        total += int((folder / "value.txt").read_text())
    (out / "value.txt").write_text(str(total))
    return {"value": total}


def stage(label: str, value: int, inputs: Mapping[str, Stage], **more: Any) -> Stage:
    context = {"stop": more.pop("stop", "")}
    keys = {role: parent.key for role, parent in inputs.items()}
    return Stage("toy", label, {"value": value, **more}, keys, {}, context=context)


def engine(folder: Path) -> LocalEngine:
    RAN.clear()
    storage = LocalStorage(folder / "checkpoints")
    return LocalEngine(storage, folder / "records", "test_local.toy", stream=io.StringIO())


def test_stages_run_once_parents_first_and_a_second_study_finds_them(tmp_path: Path) -> None:
    top = stage("top", 1, {})
    left, right = stage("left", 10, {"top": top}), stage("right", 100, {"top": top})
    bottom = stage("bottom", 1000, {"left": left, "right": right})
    with engine(tmp_path) as first:
        results = first.run_tasks([bottom, right, left, top])
        assert RAN == ["top", "right", "left", "bottom"]
        assert results[bottom.key] == {"value": 1112}
        assert first.run_trials([left])[left.key] == {"value": 11} and len(RAN) == 4
        assert first.map(abs, [-2, 1]) == [2, 1]
    with engine(tmp_path) as second:
        assert second.run_tasks([top, left, right, bottom]) == results
    assert RAN == [] and second.counts["reused"] == {"toy": 4}


def test_bad_input_fails_a_stage_and_what_needs_it_but_a_bug_shows_itself(tmp_path: Path) -> None:
    bad, good = stage("bad", 1, {}, fail="bad"), stage("good", 2, {})
    child = stage("child", 3, {"bad": bad, "good": good})
    with engine(tmp_path) as own:
        results = own.run_tasks([bad, good, child])
    reason = "temperature=-1 is not positive: choose one above 0"
    assert results[bad.key] == {"failed": reason, "label": "bad", "tags": {}}
    assert results[child.key]["failed"] == "needs bad, which failed"
    assert results[good.key] == {"value": 2} and own.counts["failed"] == {"toy": 2}
    with pytest.raises(KeyError, match="a bug"), engine(tmp_path) as own:
        own.run_tasks([stage("bug", 4, {}, fail="bug")])


def test_a_study_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "stop").touch()
    done = stage("done", 1, {})
    stopped = stage("stopped", 2, {"done": done}, stop=str(tmp_path / "stop"))
    with pytest.raises(KeyboardInterrupt), engine(tmp_path) as own:
        own.run_tasks([done, stopped])
    assert [path.name for path in (tmp_path / "checkpoints").glob("*/.*")] == [
        f".{stopped.key}.0.0.part"  # what it can resume from, nothing half-written
    ]
    with engine(tmp_path) as own:
        assert own.run_tasks([done, stopped])[stopped.key] == {"value": 3}
    assert RAN == ["stopped"]
    assert not list((tmp_path / "checkpoints").glob("*/.*"))


def test_results_on_record_with_another_coordinator_are_adopted_once(tmp_path: Path) -> None:
    storage, other = LocalStorage(tmp_path / "checkpoints"), MemoryCoordinator()
    one = stage("one", 1, {})
    store = Store(storage, other)
    path = store.produce(one, lambda inputs, out: {"value": 7})
    with engine(tmp_path) as own:
        assert adopt(other, own.store.coordinator) == 1
        assert adopt(other, own.store.coordinator) == 0
        assert own.run_tasks([one])[one.key] == {"value": 7} and RAN == []
        two = stage("two", 2, {})
        own.run_tasks([two])
    assert adopt(own.store.coordinator, other) == 1
    assert store.get(two.key) is not None and store.get(one.key) == path


def test_what_was_withdrawn_is_not_adopted_again(tmp_path: Path) -> None:
    source, target = FolderCoordinator(tmp_path / "a"), FolderCoordinator(tmp_path / "b")
    for coordinator in (source, target):
        assert coordinator.claim("k") == 1
        assert coordinator.commit("k", 1, "0" * 64, {"label": "one"})
    target.withdraw("k", 1, "damaged")
    assert adopt(source, target) == 0 and target.committed("k") is None
