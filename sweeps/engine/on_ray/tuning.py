"""Ray Tune: many stages that need nothing of each other as one run."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.engine.on_ray.cluster import resources_of
from sweeps.engine.worker import Runtime, attempt, pack
from sweeps.stage import Stage

if TYPE_CHECKING:
    from ray.tune import PlacementGroupFactory
    from ray.tune.experiment import Trial

Outcome = dict[str, str]
"""How a stage ended, as `attempt` says."""


def run_grid(
    stages: Mapping[str, Stage],
    runtime: Runtime,
    folder: Path,
    attempts: int,
    on_end: Callable[[Stage, Outcome], None],
    on_tick: Callable[[], None],
) -> list[tuple[Stage, Exception | None]]:
    """Run stages, by key, as the trials of one Tune run whose state lies in `folder`.

    Workers are reused from trial to trial; a trial whose worker dies is tried again, `attempts`
    times. `on_end` hears of each trial that completes, `on_tick` often. Returns every stage with
    the error of its trial, if any.
    """
    from ray import tune

    def resources(config: dict[str, str]) -> "PlacementGroupFactory":
        return tune.PlacementGroupFactory([resources_of(stages[config["stage"]])])

    def name(trial: "Trial") -> str:
        stage = stages[trial.config["stage"]]
        label = "".join(c if c.isalnum() or c in "=.+-" else "_" for c in stage.label)
        return f"{label[:80]}-{stage.key[:8]}"

    class Listener(tune.Callback):
        """Hears of trials as they end, in the driver."""

        def on_step_end(self, *_: object, **__: object) -> None:
            on_tick()

        def on_trial_complete(
            self, iteration: int, trials: list["Trial"], trial: "Trial", **_: object
        ) -> None:
            on_end(stages[trial.config["stage"]], trial.last_result)

        def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
            """Tune saves its callbacks: not ours, which hold the engine and all that it holds."""
            return tune.Callback, ()

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures come back as results
    texts = {key: pack(stage) for key, stage in stages.items()}
    trainable = tune.with_parameters(_trial, runtime=runtime, texts=texts)
    grid = tune.Tuner(
        tune.with_resources(trainable, resources),
        param_space={"stage": tune.grid_search(list(stages))},
        tune_config=tune.TuneConfig(
            reuse_actors=True, trial_name_creator=name, trial_dirname_creator=name
        ),
        run_config=tune.RunConfig(
            name=f"{runtime.place.study}-{time.time_ns():x}",
            storage_path=str(folder.resolve()),
            failure_config=tune.FailureConfig(max_failures=attempts),
            callbacks=[Listener()],
            verbose=0,
        ),
    ).fit()
    ended = [grid[n] for n in range(len(grid))]
    return [(stages[(result.config or {})["stage"]], result.error) for result in ended]


def _trial(config: Mapping[str, str], runtime: Runtime, texts: Mapping[str, str]) -> None:
    from ray import tune

    tune.report(attempt(runtime, texts[config["stage"]]))
