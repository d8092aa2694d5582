"""Which stages of a call to the engine can run now, and what becomes of the rest."""

from collections.abc import Callable, Iterable, Mapping

from lacuna.results import Failure, Result
from sweeps.stage import Stage


def failure(stage: Stage, reason: str) -> Failure:
    """What stands in for the summary of a stage that has none."""
    return {"failed": reason, "label": stage.label, "tags": dict(stage.tags)}


class Schedule:
    """Dependency bookkeeping of one call to the engine.

    `results` is shared by all calls of a study, so that a stage knows of an input that failed in
    an earlier call. An input that no call has seen is taken to be in the store.
    """

    def __init__(
        self,
        stages: Iterable[Stage],
        results: dict[str, Result],
        close: Callable[[Stage, str], None],
    ) -> None:
        """`close(stage, how)` is called once for every stage that ends.

        `how` is `reused`, `trained` or `failed`.
        """
        self.stages = {stage.key: stage for stage in stages}
        self.results, self._hear = results, close
        self.waiting = dict(self.stages)
        self.running: set[str] = set()

    def take_found(self, found: Mapping[str, Result]) -> None:
        """Close the stages whose results the store already has, in order."""
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
        """Record the result of a stage that ended."""
        self.waiting.pop(stage.key, None)
        self.running.discard(stage.key)
        self.results[stage.key] = result
        self._hear(stage, how)

    def outcome(self) -> dict[str, Result]:
        """Every stage's result; only once nothing waits or runs."""
        assert not self.waiting and not self.running, "stages are still open"
        return {key: self.results[key] for key in self.stages}

    def _failed_input(self, stage: Stage) -> str | None:
        for key in stage.inputs.values():
            result = self.results.get(key)
            if result is not None and "failed" in result:
                return result["label"]
        return None
