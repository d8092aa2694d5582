"""What engines share: every stage goes through the store, results and counts are kept here.

An engine never decides what is already computed. It runs what the store has no result of, in
dependency order, and takes the results from the store.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self, TextIO, TypeVar, cast

from lacuna.results import Result, Summary
from sweeps.engine.progress import Progress
from sweeps.engine.scheduler import Schedule, failure
from sweeps.engine.worker import Runtime
from sweeps.stage import Stage
from sweeps.store.lease import Coordinator
from sweeps.store.store import Store

S = TypeVar("S")
T = TypeVar("T")


class Engine(ABC):
    """A context manager around whatever runs the stages of one study."""

    def __init__(
        self, store: Store[Coordinator], runtime: Runtime, stream: TextIO | None = None
    ) -> None:
        """`store` holds the results, `runtime` says the same to workers; progress goes to `stream`
        (default: stderr)."""
        self.store, self.runtime, self.stream = store, runtime, stream
        self.results: dict[str, Result] = {}
        self.counts: dict[str, dict[str, int]] = {
            what: defaultdict(int) for what in ("planned", "reused", "trained", "failed")
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """End what this engine has started."""

    @abstractmethod
    def expect(self, stages: Iterable[Stage]) -> None:
        """Declare stages to come, so that what cannot run here is refused at the start."""

    @abstractmethod
    def run_tasks(self, stages: Iterable[Stage], phase: str = "stages") -> dict[str, Result]:
        """Run each stage whose key has no result, once its inputs are done: result by key.

        A stage that fails has `{"failed": reason, ...}` for a result, and so has all that needs it;
        the rest goes on. Raises `UserError` for a stage that cannot run here.
        """

    @abstractmethod
    def run_trials(self, stages: Iterable[Stage], phase: str = "trials") -> dict[str, Result]:
        """The same for stages that need nothing of each other."""

    @abstractmethod
    def map(self, function: Callable[[S], T], items: Sequence[S]) -> list[T]:
        """`function` of each item, in order; its exception is raised here."""

    def _open(self, stages: Sequence[Stage], progress: Progress) -> Schedule:
        """A schedule of the stages, those with a result closed."""

        def close(stage: Stage, how: str) -> None:
            self.counts[how][stage.kind] += 1
            progress.advance(found=how != "trained")

        schedule = Schedule(stages, self.results, close)
        for stage in schedule.stages.values():
            self.counts["planned"][stage.kind] += 1
        summaries = self.store.summaries(list(schedule.stages))
        schedule.take_found({key: cast(Summary, found) for key, found in summaries.items()})
        return schedule

    def _take(self, schedule: Schedule, stage: Stage, outcome: dict[str, str]) -> None:
        """Close a stage that `attempt` has ended so, its summary read from the store."""
        how = outcome["how"]
        summary = None if how == "failed" else self.store.summary(stage.key)
        if summary is not None:
            schedule.close(stage, cast(Summary, summary), how)
            return
        reason = outcome["reason"] or f"this host has no result in {self.store.storage.root}"
        schedule.close(stage, failure(stage, reason), "failed")
