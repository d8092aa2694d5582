"""Runs a study's stages on Ray.

Trials go through one `tune.Tuner` (`tuning`); everything else is a plain Ray task.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TextIO, TypeVar

from lacuna.results import Result
from sweeps.engine.engine import Engine
from sweeps.engine.on_ray.session import RaySession, is_rays
from sweeps.engine.on_ray.tuning import run_grid
from sweeps.engine.on_ray.worker_group import attempt_together
from sweeps.engine.progress import Progress
from sweeps.engine.scheduler import Schedule, failure
from sweeps.engine.worker import WORK, Runtime, attempt, pack
from sweeps.errors import Unavailable, one_line
from sweeps.stage import Stage
from sweeps.store.lease import BEAT, TTL
from sweeps.store.local import LocalStorage
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.store.storage import Storage
from sweeps.store.store import Store
from sweeps.tracking.runs import Tracker

S = TypeVar("S")
T = TypeVar("T")


class RayEngine(Engine):
    """A local Ray, or a place in a running cluster; stages are the tracker's runs.

    Ray starts when the first missing stage needs it: a study that is all in the store needs none.
    """

    def __init__(
        self,
        tracker: Tracker,
        root: Path | Storage,
        ray_folder: Path,
        address: str | None = None,
        cpus: int | None = None,
        work: str = WORK,
        ttl: float = TTL,
        beat: float = BEAT,
        stream: TextIO | None = None,
    ) -> None:
        """`tracker` has begun; `root` holds the results, `ray_folder` Tune's state.

        `address` (HOST:PORT) joins a cluster, else `cpus` (default: all) start here. `ttl` and
        `beat` (seconds) are the store's; progress goes to `stream` (default: stderr).
        """
        storage = LocalStorage(root) if isinstance(root, Path) else root
        coordinator = MlflowCoordinator(tracker.client, storage.identity())
        runtime = Runtime(
            tracker.place, storage.root, work, ttl, beat, coordinator.session, storage.cache
        )
        super().__init__(Store(storage, coordinator, ttl, beat), runtime, stream)
        self.ray_folder = ray_folder
        self.session = RaySession(address, cpus, stream)
        self._expected: list[Stage] = []

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if error is not None and is_rays(error):
            raise Unavailable(
                f"Ray died ({one_line(error)}): the same command continues where this one was"
            ) from error

    def close(self) -> None:
        """Leave Ray; a local one ends with all its processes and temporary files."""
        self.session.close()

    def expect(self, stages: Iterable[Stage]) -> None:
        """Declare stages to come, so that a cluster too small for them is refused at the start."""
        self._expected = list(stages)

    def run_tasks(self, stages: Iterable[Stage], phase: str = "stages") -> dict[str, Result]:
        """One Ray task per missing key, each once its inputs are done: result by key.

        Raises `UserError` where no node can hold a stage.
        """
        stages = list(stages)
        with Progress(phase, len({s.key for s in stages}), self.stream) as progress:
            schedule = self._open(stages, progress)
            if not schedule.waiting:
                return schedule.outcome()
            ray = self._connect(schedule.waiting.values())
            task = ray.remote(max_retries=self.store.attempts)(attempt)
            group = ray.remote(max_retries=self.store.attempts, num_cpus=0)(attempt_together)
            running: dict[object, Stage] = {}
            while schedule.waiting or running:
                for stage in schedule.ready():
                    needs = {"num_cpus": stage.cpus, "num_gpus": stage.gpus}
                    one = group if stage.workers else task.options(**needs)
                    running[one.remote(self.runtime, pack(stage))] = stage
                done = ray.wait(list(running), timeout=0.5)[0] if running else []
                for ref in done:
                    self._take(schedule, running.pop(ref), _fetch(ray, ref))
                progress.tick()
            return schedule.outcome()

    def run_trials(self, stages: Iterable[Stage], phase: str = "trials") -> dict[str, Result]:
        """The same for stages that need nothing of each other, as the trials of one Ray Tune run.

        Workers are reused from trial to trial; a trial whose worker dies is tried again.
        """
        stages = list(stages)
        with Progress(phase, len({s.key for s in stages}), self.stream) as progress:
            schedule = self._open(stages, progress)
            trials = {stage.key: stage for stage in schedule.ready()}
            assert not schedule.waiting, "a trial needs another trial of its run"
            if trials:
                self._connect(trials.values())
                self._tune(trials, schedule, progress)
            return schedule.outcome()

    def map(self, function: Callable[[S], T], items: Sequence[S]) -> list[T]:
        """`function` of each item, in order, as one-CPU Ray tasks; its exception is raised here.

        Where nothing has started Ray yet, that would take longer than the items: they stay here.
        """
        if not self.session.started:
            return [function(item) for item in items]
        ray = self._connect([])
        task = ray.remote(_apply).options(num_cpus=1)
        try:
            return list(ray.get([task.remote(function, item) for item in items]))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error

    def _tune(self, trials: dict[str, Stage], schedule: Schedule, progress: Progress) -> None:
        ended = run_grid(
            trials,
            self.runtime,
            self.ray_folder,
            self.store.attempts,
            on_end=lambda stage, outcome: self._take(schedule, stage, outcome),
            on_tick=progress.tick,
        )
        for stage, error in ended:  # an error is sure to have reached Tune's storage only now
            if stage.key in schedule.running:
                schedule.close(stage, failure(stage, _reason(error)), "failed")

    def _connect(self, stages: Iterable[Stage]) -> ModuleType:
        stages = list(stages)
        expected = self._expected if stages else []
        return self.session.connect([*stages, *expected], self.runtime.place.uri)


def _fetch(ray: ModuleType, ref: object) -> dict[str, str]:
    try:
        return dict(ray.get(ref))
    except ray.exceptions.RayError as error:
        return {"how": "failed", "reason": _reason(error)}


def _apply(function: Callable[[S], T], item: S) -> T:
    return function(item)  # the remote function; partials and built-ins cannot be one


def _reason(error: Exception | None) -> str:
    """What a worker died of; Ray wraps the exception of a stage's own code."""
    return one_line(getattr(error, "cause", None) or error or RuntimeError("the worker died"))
