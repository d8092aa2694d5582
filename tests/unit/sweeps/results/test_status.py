"""`lacuna status`: what is done, running and failed, read from the records of the store."""

from pathlib import Path

import pytest
from support.studies import planned

from lacuna.errors import UserError
from sweeps.cli import main
from sweeps.errors import CoordinatorError
from sweeps.plan.planner import Planner
from sweeps.process import holder
from sweeps.results import status
from sweeps.results.status import report, standings
from sweeps.stage import Stage
from sweeps.store.coordinator import FolderCoordinator
from sweeps.store.open import folder_records, study_storage

WORDS = ("engine=local", "objectives=[npo]", "scenarios=[oracle,random]")


@pytest.fixture
def study(tmp_path: Path) -> tuple[Planner, FolderCoordinator]:
    """A study with records and nothing in them."""
    root = tmp_path / "out"
    root.mkdir()
    identity = study_storage(None, root).identity()
    folder_records(root).mkdir()
    return planned(*WORDS, f"artifacts={root}"), FolderCoordinator(folder_records(root), identity)


def finish(records: FolderCoordinator, stage: Stage) -> None:
    epoch = records.claim(stage.key)
    assert epoch and records.commit(stage.key, epoch, "0" * 64, {})


def test_stages_are_counted_by_kind_and_state(study: tuple[Planner, FolderCoordinator]) -> None:
    planner, records = study
    make, ratio = planner.stages, planner.ratios[0]
    base, retained, injected = make.base(), make.retained(1), make.injected(1, ratio)
    finish(records, base)
    assert records.claim(retained.key) == 1
    records.record_failure(injected.key, records.claim(injected.key) or 0, "Diverged: loss is nan")
    found = {one.kind: one for one in standings(planner)}
    assert (found["base"].done, found["base"].total) == (1, 1)
    assert found["retained"].running == [retained] and not found["retained"].done
    assert found["injected"].failed == [(injected, "Diverged: loss is nan")]
    lines = report(planner)
    total = sum(one.total for one in found.values())
    assert lines[0].startswith(f"smoke: 1 of {total} stages done, about ")
    assert f"running: {retained.label}" in lines
    assert f"failed: {injected.label}: Diverged: loss is nan" in lines


def test_a_second_attempt_counts_and_the_dead_do_not_run(
    study: tuple[Planner, FolderCoordinator], monkeypatch: pytest.MonkeyPatch
) -> None:
    planner, records = study
    injected = planner.stages.injected(1, planner.ratios[0])
    records.record_failure(injected.key, records.claim(injected.key) or 0, "out of memory")
    assert records.claim(injected.key, after=1) == 2
    found = next(one for one in standings(planner) if one.kind == "injected")
    assert found.running == [injected] and not found.failed
    machine, process, _ = holder().split()
    gone = f"{machine} {process} another-birth"
    records.tag(f"{records._lease}.{injected.key}.2", {"holder": gone})
    found = next(one for one in standings(planner) if one.kind == "injected")
    assert found.failed == [(injected, "its process has ended")] and not found.running


def test_a_test_at_any_candidate_rate_is_the_cells(
    study: tuple[Planner, FolderCoordinator],
) -> None:
    planner, records = study
    cell = planner.searched()[0]
    rate = planner.rates.candidates(cell)[-1]
    finish(records, planner.stages.trial(cell, rate, planner.config.seeds[0], "test"))
    found = next(one for one in standings(planner) if one.kind == "test")
    assert found.done == 1 < found.total


def test_many_are_named_in_part(
    study: tuple[Planner, FolderCoordinator], monkeypatch: pytest.MonkeyPatch
) -> None:
    planner, records = study
    monkeypatch.setattr(status, "SHOWN", 1)
    for stage in planner.setup()[:3]:
        records.claim(stage.key)
    lines = report(planner)
    assert [line for line in lines if line.startswith("running: ")][1:] == ["running: and 2 more"]


def test_nothing_is_made_where_nothing_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "none"
    assert main(["status", "smoke", *WORDS, f"artifacts={root}"]) == 0
    assert capsys.readouterr().out.startswith("smoke: 0 of ") and not root.exists()
    assert main(["status", "smok"]) == 2
    assert "did you mean 'smoke'" in capsys.readouterr().err


def test_records_that_do_not_answer_are_one_line(
    study: tuple[Planner, FolderCoordinator], monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(self: FolderCoordinator) -> None:
        raise CoordinatorError("connection refused")

    monkeypatch.setattr(FolderCoordinator, "all_committed", silent)
    with pytest.raises(UserError, match=r"does not answer \(connection refused\)"):
        standings(study[0])


def test_each_of_several_models_is_a_study_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "smoke", *WORDS, f"artifacts={tmp_path}", "model=mini,mini"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len([line for line in said if line.startswith("smoke-mini: 0 of ")]) == 2
