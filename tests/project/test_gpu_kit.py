"""The acceptance kit: its parts end on a processor, and say so where a promise is broken."""

import json
import time
from pathlib import Path

import pytest
import torch
from pytest import MonkeyPatch

from benchmarks.gpu import __main__ as kit
from benchmarks.gpu import equality, syncs
from benchmarks.gpu.check import Check, Checks, Setting, at_least, at_most
from lacuna.localize import LOCALIZERS
from lacuna.unlearn import OBJECTIVES, WRAPPERS
from lacuna.unlearn.objectives.npo import NPO

TINY = Setting(torch.device("cpu"), tiny=True)
QUICK = (
    "environment",
    "precision",
    "determinism",
    "memory",
    "loading",
    "masks",
    "shapes",
    "reading",
)


@pytest.mark.parametrize("part", [*QUICK, "whole"])
def test_a_part_ends_on_a_processor_and_keeps_what_it_promises(part: str, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    try:
        kit.run(part, TINY, tmp_path)
    finally:
        torch.set_rng_state(before)
    found = [json.loads(line) for line in (tmp_path / f"{part}.jsonl").read_text().splitlines()]
    assert found and [check for check in found if check["kept"] is False] == []


def few(monkeypatch: MonkeyPatch, objectives: tuple[str, ...]) -> list[Check]:
    """The part on equal results, for some objectives, one wrapper and two localizers."""
    for registry, kept in (
        (OBJECTIVES, objectives),
        (WRAPPERS, ("sam",)),
        (LOCALIZERS, ("gradient", "activations")),
    ):
        monkeypatch.setattr(registry, "_items", {name: registry[name] for name in kept})
    return list(equality.checks(TINY))


def test_methods_are_compared_in_every_kind_of_weights(monkeypatch: MonkeyPatch) -> None:
    found = few(monkeypatch, ("npo", "task_vector"))
    names = {check.name for check in found}
    assert {
        "npo, region: losses",
        "npo, single weights: outside",
        "npo, all weights: change",
    } <= names
    assert {"task_vector, region: change", "npo in sam, region: losses"} <= names
    assert {"localizer gradient: scores", "nf4, weights"} <= names
    assert all(check.kept for check in found)


def test_a_method_that_differs_or_fails_is_a_broken_promise(monkeypatch: MonkeyPatch) -> None:
    calls = [0]

    class Drifting(NPO):
        def forget_loss(self, step):  # type: ignore[no-untyped-def]
            calls[0] += 1
            return super().forget_loss(step) * (1 + 0.01 * calls[0])

    class Broken(NPO):
        def forget_loss(self, step):  # type: ignore[no-untyped-def]
            raise RuntimeError("no kernel image is available")

    names = ("npo", "drifting", "broken")
    monkeypatch.setitem(OBJECTIVES._items, "drifting", Drifting)
    monkeypatch.setitem(OBJECTIVES._items, "broken", Broken)
    broken = {check.name for check in few(monkeypatch, names) if check.kept is False}
    assert "drifting, region: losses" in broken and "broken, region" in broken
    assert not any(name.startswith("npo") for name in broken)


def test_waits_are_reported_by_objective_where_there_is_a_gpu(monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setattr(OBJECTIVES, "_items", {n: OBJECTIVES[n] for n in ("npo", "task_vector")})
    assert [(one.name, one.value) for one in syncs.checks(TINY)] == [("npo: waits a step", None)]


def test_the_summary_names_what_broke_and_what_did_not_end(
    monkeypatch: MonkeyPatch, tmp_path: Path
) -> None:
    def checks(setting: Setting) -> Checks:
        yield at_most("speed", 2.0, 1.0, "s")
        yield at_least("share", 0.5, 0.4)
        yield Check("card", setting.name)

    (tmp_path / "first.jsonl").write_text("\n".join(check.line() for check in checks(TINY)))
    text, failed = kit.summary("CPU", tmp_path, {"first": "", "second": "stopped after 9 s"})
    assert failed and "| first | speed | 2 s | at most 1 | NO |" in text
    assert "| first | share | 0.5  | at least 0.4 | yes |" in text
    assert "| second | did not end | stopped after 9 s |  | NO |" in text
    (tmp_path / "first.jsonl").write_text(Check("card", "CPU").line())
    assert kit.summary("CPU", tmp_path, {"first": ""})[1] is False


def test_a_part_that_hangs_is_stopped(
    monkeypatch: MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    monkeypatch.setattr(kit, "LIMITS", {"loading": 0.01})
    words = ["--out", str(tmp_path), "--device", "cpu", "--size", "tiny", "--part", "loading"]
    assert kit.main(words) == 1 and time.monotonic() - began < 60
    assert "stopped after 0.01 s" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--part", "speed"], ["--size", "7b"]])
def test_bad_options_are_refused(words: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        kit.main(["--out", str(tmp_path), "--device", "cpu", *words])
    assert stopped.value.code == 2
