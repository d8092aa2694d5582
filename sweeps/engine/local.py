"""Runs a study's stages in this process, one after the other: no Ray, no tracking.

For debuggers, notebooks and machines with nothing but a GPU. Keys and results are those of the
other engine: who may compute a key is decided by records in a folder (`FolderCoordinator`). A bug
in a stage ends the study with its traceback, where Ray would call the stage failed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TextIO, TypeVar

from lacuna.results import Result
from sweeps.engine.engine import Engine
from sweeps.engine.progress import Progress
from sweeps.engine.worker import WORK, Runtime, publish
from sweeps.stage import Stage
from sweeps.store.coordinator import FolderCoordinator
from sweeps.store.lease import BEAT, TTL
from sweeps.store.storage import Storage
from sweeps.store.store import Store
from sweeps.tracking.client import RunLocation

S = TypeVar("S")
T = TypeVar("T")


class LocalEngine(Engine):
    """This process; its models are loaded and trained here, on the device that stages name."""

    def __init__(
        self,
        storage: Storage,
        records: Path,
        work: str = WORK,
        ttl: float = TTL,
        beat: float = BEAT,
        stream: TextIO | None = None,
    ) -> None:
        """`storage` holds the results, the folder `records` who has published which. `ttl` and
        `beat` (seconds) are the store's; progress goes to `stream` (default: stderr)."""
        coordinator = FolderCoordinator(records, storage.identity())
        untracked = RunLocation("", "", "")
        runtime = Runtime(untracked, storage.root, work, ttl, beat, cache=storage.cache)
        super().__init__(Store(storage, coordinator, ttl, beat), runtime, stream)

    def close(self) -> None:
        """Nothing was started."""

    def expect(self, stages: Iterable[Stage]) -> None:
        """Nothing waits for room here."""

    def run_tasks(self, stages: Iterable[Stage], phase: str = "stages") -> dict[str, Result]:
        """Each missing stage, parents first."""
        stages = list(stages)
        assert not any(stage.workers for stage in stages), "Ray Train connects workers"
        with Progress(phase, len({s.key for s in stages}), self.stream) as progress:
            schedule = self._open(stages, progress)
            while ready := schedule.ready():
                for stage in ready:
                    run = nullcontext(UntrackedRun(progress.tick))
                    self._take(schedule, stage, publish(self.runtime, self.store, stage, run))
            return schedule.outcome()

    def run_trials(self, stages: Iterable[Stage], phase: str = "trials") -> dict[str, Result]:
        """As any other stages."""
        return self.run_tasks(stages, phase)

    def map(self, function: Callable[[S], T], items: Sequence[S]) -> list[T]:
        """`function` of each item, here."""
        return [function(item) for item in items]


class UntrackedRun:
    """A stage's run that no server hears of."""

    run_id = ""

    def __init__(self, tick: Callable[[], None]) -> None:
        """`tick` is called at each training step."""
        self.begun, self._tick = False, tick

    def begin(self, stage: Stage, inputs: Mapping[str, Path]) -> None:
        """The stage is computed, rather than found."""
        self.begun = True

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Progress may be shown."""
        self._tick()

    def finish(self, folder: Path) -> None:
        """Nothing is told."""

    def superseded(self) -> None:
        """Nothing is told."""
