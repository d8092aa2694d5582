"""Stages of a study one after the other in this process, without Ray and without a store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweeps.engine.execute import execute
from sweeps.plan.planner import Planner
from sweeps.stage import Stage


class Walk:
    """Runs stages and what they stand on, once each, in folders named by key."""

    def __init__(self, planner: Planner, root: Path) -> None:
        self.planner, self.root = planner, root
        self.known = {s.key: s for s in [*planner.setup(), *planner.controls()]}
        self.losses: dict[str, list[float]] = {}
        self.summaries: dict[str, dict[str, Any]] = {}

    def run(self, stage: Stage) -> dict[str, Any]:
        if stage.key not in self.summaries:
            for key in stage.inputs.values():
                self.run(self.known[key])
            out = self.folder(stage)
            out.mkdir()
            losses = self.losses[stage.key] = []
            inputs = {role: self.root / key for role, key in stage.inputs.items()}

            def keep(step: int, metrics: Mapping[str, float]) -> None:
                losses.append(metrics["loss"])

            self.summaries[stage.key] = execute(stage, inputs, out, keep)
        return self.summaries[stage.key]

    def folder(self, stage: Stage) -> Path:
        return self.root / stage.key
