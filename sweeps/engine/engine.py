"""Runs a study's stages on Ray. Only this module and `sweeps.engine.worker_group` import ray.

Every stage goes through the store, so the engine never decides what is already computed: it submits
what has no result, in dependency order, and takes the results from the store. Trials go through
one `tune.Tuner`; everything else is a plain Ray task.
"""

import logging
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, TypeVar, cast

from lacuna.errors import UserError
from lacuna.results import Result, Summary
from sweeps.engine import ray_env
from sweeps.engine.cluster import check_address, check_fits, node_types, resources_of
from sweeps.engine.progress import Progress
from sweeps.engine.scheduler import Batch, OnDone, failure
from sweeps.engine.worker import Runtime, attempt, pack
from sweeps.engine.worker_group import attempt_together
from sweeps.errors import Unavailable, one_line
from sweeps.plan.search import Searcher
from sweeps.stage import Stage
from sweeps.store.local import LocalStorage
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.store.storage import Storage
from sweeps.store.store import Store
from sweeps.tracking.runs import Tracker

S = TypeVar("S")
T = TypeVar("T")

REPOSITORY = Path(__file__).resolve().parents[2]
CODE = [str(REPOSITORY / package) for package in ("lacuna", "sweeps")]


class Engine:
    """A context manager around a local Ray, or a place in a running cluster.

    Ray starts when the first missing stage needs it: a study that is all in the store needs none.
    """

    def __init__(
        self,
        tracker: Tracker,
        root: Path | Storage,
        ray_folder: Path,
        address: str | None = None,
        cpus: int | None = None,
        work: str = "sweeps.engine.execute.execute",
        ttl: float = 60.0,
        beat: float = 10.0,
        stream: TextIO | None = None,
    ) -> None:
        """`tracker` has begun; `root` holds the results, `ray_folder` Tune's state.

        `address` (HOST:PORT) joins a cluster, else `cpus` (default: all) start here. `ttl` and
        `beat` (seconds) are the store's; progress goes to `stream` (default: stderr).
        """
        storage = LocalStorage(root) if isinstance(root, Path) else root
        coordinator = MlflowCoordinator(tracker.client, storage.identity())
        self.store = Store(storage, coordinator, ttl, beat)
        self.runtime = Runtime(
            tracker.place, storage.root, work, ttl, beat, coordinator.session, storage.cache
        )
        self.ray_folder, self.address, self.cpus, self.stream = ray_folder, address, cpus, stream
        self.results: dict[str, Result] = {}
        self.counts: dict[str, dict[str, int]] = {
            what: defaultdict(int) for what in ("planned", "reused", "trained", "failed")
        }
        self._expected: list[Stage] = []
        self._said: set[str] = set()
        self._ray: Any = None
        self._temporary: Path | None = None

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave Ray; a local one ends with all its processes and temporary files."""
        if self._ray is not None:
            self._ray.shutdown()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        self._ray = self._temporary = None

    def expect(self, stages: Iterable[Stage]) -> None:
        """Stages like these will come: none starts on a cluster that cannot hold them all."""
        self._expected = list(stages)

    def searcher(self, low: float, high: float, seed: int, startup: int) -> Searcher:
        """Ray Tune's `OptunaSearch` for one log-uniform rate, to be driven by `sweeps.plan.search`.

        It models what it was told once it knows `startup` scores; the seed is below 2^32.
        """
        self._settle()
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        return cast(
            Searcher,
            OptunaSearch(
                {"lr": optuna.distributions.FloatDistribution(low, high, log=True)},
                sampler=optuna.samplers.TPESampler(n_startup_trials=startup, seed=seed),
                metric="score",
                mode="max",
            ),
        )

    def run_tasks(
        self, stages: Iterable[Stage], on_done: OnDone | None = None, phase: str = "stages"
    ) -> dict[str, Result]:
        """One Ray task per missing key, each once its inputs are done: result by key.

        A stage that fails has `{"failed": reason, ...}` for a result, and so has all that needs it;
        the rest goes on. Raises `UserError` where no node can hold a stage.
        """
        stages = list(stages)
        with Progress(phase, len({s.key for s in stages}), self.stream) as progress:
            batch = self._open(stages, progress, on_done)
            if not batch.waiting:
                return batch.outcome()
            ray = self._connect(batch.waiting.values())
            task = ray.remote(max_retries=self.store.attempts)(attempt)
            group = ray.remote(max_retries=self.store.attempts, num_cpus=0)(attempt_together)
            running: dict[Any, Stage] = {}
            while batch.waiting or running:
                for stage in batch.ready():
                    needs = {"num_cpus": stage.cpus, "num_gpus": stage.gpus}
                    one = group if stage.workers else task.options(**needs)
                    running[one.remote(self.runtime, pack(stage))] = stage
                done = ray.wait(list(running), timeout=0.5)[0] if running else []
                for ref in done:
                    self._take(batch, running.pop(ref), self._fetch(ref))
                progress.tick()
            return batch.outcome()

    def run_trials(
        self, stages: Iterable[Stage], on_done: OnDone | None = None, phase: str = "trials"
    ) -> dict[str, Result]:
        """The same for stages that need nothing of each other, as the trials of one Ray Tune run.

        Workers are reused from trial to trial; a trial whose worker dies is tried again.
        """
        stages = list(stages)
        with Progress(phase, len({s.key for s in stages}), self.stream) as progress:
            batch = self._open(stages, progress, on_done)
            trials = {pack(stage): stage for stage in batch.ready()}
            assert not batch.waiting, "a trial needs another trial of its batch"
            if trials:
                self._connect(trials.values())
                self._tune(trials, batch, progress)
            return batch.outcome()

    def map(self, function: Callable[[S], T], items: Sequence[S]) -> list[T]:
        """`function` of each item, in order, as one-CPU Ray tasks; its exception is raised here."""
        if not items:
            return []
        ray = self._connect([])
        task = ray.remote(_apply).options(num_cpus=1)
        try:
            return list(ray.get([task.remote(function, item) for item in items]))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error

    def _open(self, stages: list[Stage], progress: Progress, on_done: OnDone | None) -> Batch:
        def close(stage: Stage, result: Result, how: str) -> None:
            self.counts[how][stage.kind] += 1
            progress.advance(found=how != "trained")
            if on_done:
                on_done(stage, result)

        batch = Batch(stages, self.results, close)
        for stage in batch.stages.values():
            self.counts["planned"][stage.kind] += 1
        summaries = self.store.summaries(list(batch.stages))
        batch.take_found({key: cast(Summary, found) for key, found in summaries.items()})
        return batch

    def _take(self, batch: Batch, stage: Stage, outcome: dict[str, str]) -> None:
        """Close a stage that a worker has finished with, its summary read from the store."""
        how = outcome["how"]
        summary = None if how == "failed" else self.store.summary(stage.key)
        if summary is not None:
            batch.close(stage, cast(Summary, summary), how)
            return
        reason = outcome["reason"] or f"this host has no result in {self.store.storage.root}"
        batch.close(stage, failure(stage, reason), "failed")

    def _fetch(self, ref: Any) -> dict[str, str]:
        try:
            return dict(self._ray.get(ref))
        except self._ray.exceptions.RayError as error:
            return {"how": "failed", "reason": _reason(error)}

    def _tune(self, trials: dict[str, Stage], batch: Batch, progress: Progress) -> None:
        from ray import tune

        def resources(config: dict[str, Any]) -> Any:
            return tune.PlacementGroupFactory([resources_of(trials[config["stage"]])])

        def name(trial: Any) -> str:
            stage = trials[trial.config["stage"]]
            label = "".join(c if c.isalnum() or c in "=.+-" else "_" for c in stage.label)
            return f"{label[:80]}-{stage.key[:8]}"

        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures come back as results
        trainable = tune.with_parameters(_trial, runtime=self.runtime)
        grid = tune.Tuner(
            tune.with_resources(trainable, resources),
            param_space={"stage": tune.grid_search(list(trials))},
            tune_config=tune.TuneConfig(
                reuse_actors=True, trial_name_creator=name, trial_dirname_creator=name
            ),
            run_config=tune.RunConfig(
                name=f"{self.runtime.place.study}-{time.time_ns():x}",
                storage_path=str(self.ray_folder.resolve()),
                failure_config=tune.FailureConfig(max_failures=self.store.attempts),
                callbacks=[self._listener(trials, batch, progress)],
                verbose=0,
            ),
        ).fit()
        for n in range(len(grid)):  # an error is sure to have reached Tune's storage only now
            result = grid[n]
            assert result.config is not None
            stage = trials[result.config["stage"]]
            if stage.key in batch.running:
                batch.close(stage, failure(stage, _reason(result.error)), "failed")

    def _listener(self, stages: dict[str, Stage], batch: Batch, progress: Progress) -> Any:
        """Hears of trials as they end, in the driver."""
        from ray import tune

        take = self._take

        class Listener(tune.Callback):
            def on_step_end(self, *_: Any, **__: Any) -> None:
                progress.tick()

            def on_trial_complete(
                self, iteration: int, trials: list[Any], trial: Any, **_: Any
            ) -> None:
                take(batch, stages[trial.config["stage"]], trial.last_result)

        return Listener()

    def _connect(self, stages: Iterable[Stage]) -> Any:
        """Ray, started; raises `UserError` for a stage that would wait for ever."""
        if self._ray is None:
            self._ray = self._join() if self.address else self._start()
            ray_env.end_on_sigterm()
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        uri = self.runtime.place.uri
        if len(nodes) > 1 and uri.startswith("sqlite:"):
            raise UserError(
                f"tracking_uri={uri} is a file that {len(nodes)} nodes cannot share: "
                "start `mlflow server` and pass tracking_uri=http://HOST:PORT"
            )
        if stages := list(stages):
            types = node_types() if self.address else []
            waits = [check_fits(stage, nodes, types) for stage in (*stages, *self._expected)]
            self._say(waits)
        return self._ray

    def _say(self, lines: Iterable[str]) -> None:
        """Each once, beside the progress line."""
        for line in dict.fromkeys(filter(None, lines)):
            if line not in self._said:
                print(line, file=self.stream or sys.stderr, flush=True)
            self._said.add(line)

    def _settle(self) -> None:
        """Before Ray is imported, as it reads the environment then."""
        if self.address:
            ray_env.set_defaults(ray_env.RAY)
        else:
            ray_env.settle_local_ray()

    def _start(self) -> Any:
        folder = tempfile.gettempdir()
        short = folder if len(folder) < 24 else "/tmp"  # it begins the path of a Unix socket
        self._temporary = Path(tempfile.mkdtemp(prefix="ray-", dir=short))
        return self._init(
            "free memory, processes or disk and run it again, or name a running cluster (address=)",
            address="local",
            num_cpus=self.cpus,
            object_store_memory=200_000_000,  # bytes: small results only, weights are files
            include_dashboard=False,
            runtime_env={"env_vars": _worker_environment()},
            _temp_dir=str(self._temporary),
        )

    def _join(self) -> Any:
        check_address(str(self.address))
        try:
            return self._init(
                f"look at the cluster (address={self.address}) and run it again",
                address=self.address,
                runtime_env={"py_modules": CODE, "env_vars": {"PYTHONWARNINGS": "ignore"}},
            )
        except ConnectionError as error:
            raise UserError(
                f"no Ray cluster lets us in at address={self.address}: check that it runs, that "
                "this host is one of its nodes and that RAY_AUTH_TOKEN is the same"
            ) from error

    def _init(self, way_out: str, **options: Any) -> Any:
        """Ray, quiet; raises `Unavailable`, and `ConnectionError` as it comes."""
        self._settle()
        import ray

        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except ConnectionError:
            raise
        except Exception as error:  # Ray raises this very class where its own start takes too long
            ray.shutdown()
            raise Unavailable(f"Ray did not start ({one_line(error)}): {way_out}") from error
        return ray


def _apply(function: Callable[[S], T], item: S) -> T:
    return function(item)  # the remote function; partials and built-ins cannot be one


def _trial(config: dict[str, Any], runtime: Runtime) -> None:
    from ray import tune

    tune.report(attempt(runtime, config["stage"]))


def _worker_environment() -> dict[str, str]:
    """Workers import this repository wherever they run, and keep their warnings."""
    paths = f"{REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep)
    return {"PYTHONPATH": paths, "PYTHONWARNINGS": "ignore"}


def _reason(error: Exception | None) -> str:
    """What a worker died of; Ray wraps the exception of a stage's own code."""
    return one_line(getattr(error, "cause", None) or error or RuntimeError("the worker died"))
