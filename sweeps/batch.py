"""Which stages of a batch can run now, where, and what becomes of the rest."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lacuna.errors import UserError
from sweeps.graph import Stage

Result = dict[str, Any]
"""A stage's summary, or `{"failed": reason, "label": ..., "tags": ...}`."""

OnDone = Callable[[Stage, Result], None]


def failure(stage: Stage, reason: str) -> Result:
    """What stands in for the summary of a stage that has none."""
    return {"failed": reason, "label": stage.label, "tags": dict(stage.tags)}


class Batch:
    """Dependency bookkeeping of one call to the engine.

    `results` is shared by all batches of a study, so that a stage knows of an input that failed in
    an earlier batch. An input that no batch has seen is taken to be in the store.
    """

    def __init__(
        self,
        stages: Iterable[Stage],
        results: dict[str, Result],
        close: Callable[[Stage, Result, str], None],
    ) -> None:
        """`close(stage, result, how)` hears of every end; `how`: reused, trained or failed."""
        self.stages = {stage.key: stage for stage in stages}
        self.results, self._hear = results, close
        self.waiting = dict(self.stages)
        self.running: set[str] = set()

    def take_found(self, found: Mapping[str, Result]) -> None:
        """Close what the store already has, in order."""
        for key, stage in list(self.waiting.items()):
            if key in found:
                self.close(stage, found[key], "reused")

    def ready(self) -> list[Stage]:
        """Stages whose inputs are all done, each named once; those with a failed input fail."""
        while doomed := [stage for stage in self.waiting.values() if self._failed_input(stage)]:
            for stage in doomed:
                needed = self._failed_input(stage)
                self.close(stage, failure(stage, f"needs {needed}, which failed"), "failed")
        pending = self.waiting.keys() | self.running
        ready = [s for s in self.waiting.values() if pending.isdisjoint(s.inputs.values())]
        for stage in ready:
            self.running.add(stage.key)
            del self.waiting[stage.key]
        return ready

    def close(self, stage: Stage, result: Result, how: str) -> None:
        """A stage has ended."""
        self.waiting.pop(stage.key, None)
        self.running.discard(stage.key)
        self.results[stage.key] = result
        self._hear(stage, result, how)

    def outcome(self) -> dict[str, Result]:
        """Every stage's result; only once nothing waits or runs."""
        assert not self.waiting and not self.running, "stages are still open"
        return {key: self.results[key] for key in self.stages}

    def _failed_input(self, stage: Stage) -> str | None:
        for key in stage.inputs.values():
            result = self.results.get(key, {})
            if "failed" in result:
                return str(result["label"])
        return None


def resources_of(stage: Stage) -> dict[str, float]:
    """What a stage asks of one node, in Ray's names."""
    return {"CPU": stage.cpus} | ({"GPU": stage.gpus} if stage.gpus else {})


def check_fits(stage: Stage, nodes: list[dict[str, float]]) -> None:
    """Raises `UserError` for a stage that no node can hold: Ray would let it wait for ever."""
    needs = resources_of(stage)
    if any(all(node.get(name, 0) >= need for name, need in needs.items()) for node in nodes):
        return
    most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in needs}
    raise UserError(
        f"{stage.label} needs {_amounts(needs)}, but no Ray node has that (most: {_amounts(most)}):"
        " lower what a stage asks for, or join a larger cluster with address=HOST:PORT"
    )


def _amounts(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{amount:g} {name}" for name, amount in resources.items())
