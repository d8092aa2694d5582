"""From a stage's plain values to the library: what a worker may touch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lacuna import pipeline
from lacuna.model.load import pick_device
from lacuna.pipeline import StageInputs
from sweeps.config.compose import configure
from sweeps.engine import execute
from sweeps.plan.make import make_planner


@pytest.mark.parametrize(
    ("device", "gpus", "taken"),
    [("auto", 0.0, "cpu"), ("auto", 0.25, "cuda"), ("auto", 1.0, "cuda"), ("cpu", 1.0, "cpu")],
)
def test_a_stage_takes_a_gpu_only_where_one_was_counted_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str, gpus: float, taken: str
) -> None:
    seen = []

    def base(out: Path, *, given: StageInputs[None]) -> dict[str, Any]:
        seen.append(pick_device(given.model.device).type)
        return {}

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(pipeline, "base", base)
    planner = make_planner(configure(["study=smoke", f"model.device={device}"]))
    stage = replace(planner.stages.base(), gpus=gpus)
    execute.execute(stage, {}, tmp_path, lambda step, values: None)
    assert seen == [taken]
