"""A stage that several workers compute together: Ray Train places them and connects them.

The first worker does what a plain stage's worker does (`sweeps.engine.worker`): it looks the stage
up, holds its lease, writes and publishes. The others only train with it. All are on one node, since
they share the folders that the first one opens.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lacuna.errors import UserError
from lacuna.train import Diverged
from sweeps.engine.on_ray import ray_env
from sweeps.engine.worker import Runtime, attempt, execute, open_store, pack, seed_worker, unpack
from sweeps.errors import one_line
from sweeps.stage import Stage


def attempt_together(runtime: Runtime, text: str) -> dict[str, str]:
    """`attempt` by `stage.workers` workers, which share the stage's CPUs and GPUs.

    The caller needs no resources of its own: tasks that hold some while they wait for their workers
    could wait for each other. A group that loses a worker is started anew.
    """
    ray_env.set_defaults(ray_env.RAY)
    from ray.train import TrainingFailedError

    stage, store = unpack(text), open_store(runtime)
    reason = ""
    for _ in range(store.attempts):
        try:
            return _fit(runtime, stage)
        except TrainingFailedError as error:
            reason = one_line(error)
        leases = store.coordinator.leases(stage.key)
        if leases and leases[-1].state == "failed":  # not lost: the first worker said why
            return {"how": "failed", "reason": leases[-1].reason}
    return {"how": "failed", "reason": reason}


def _fit(runtime: Runtime, stage: Stage) -> dict[str, str]:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    resources = {"CPU": _share(stage.cpus, stage.workers)}
    resources |= {"GPU": _share(stage.gpus, stage.workers)} if stage.gpus else {}
    with tempfile.TemporaryDirectory() as folder:  # Ray Train's own records
        result: Any = TorchTrainer(
            _member,
            train_loop_config={"runtime": runtime, "stage": pack(stage)},
            scaling_config=ScalingConfig(
                num_workers=stage.workers,
                use_gpu=stage.gpus > 0,
                resources_per_worker=resources,
                placement_strategy="STRICT_PACK",
            ),
            run_config=RunConfig(
                name=stage.key[:12],
                storage_path=folder,
                failure_config=FailureConfig(max_failures=0),
            ),
        ).fit()
    return dict(result.return_value)


def _share(amount: float, workers: int) -> float:
    """One worker's part, rounded down to what Ray can count."""
    return int(10_000 * amount / workers) / 10_000


def _member(config: dict[str, Any]) -> Any:
    """What every worker of the group runs; only the first returns something."""
    from ray.train import get_context
    from ray.train.torch import get_device

    runtime, stage = config["runtime"], unpack(config["stage"])
    if stage.gpus:
        torch.cuda.set_device(get_device())
    else:  # it may see GPUs that are not its own
        stage = replace(stage, context={**stage.context, "device": "cpu"})
    stage = replace(stage, cpus=stage.cpus / stage.workers)
    if get_context().get_world_rank() == 0:
        return _lead(runtime, stage)
    _follow(runtime, stage)
    return None


def _lead(runtime: Runtime, stage: Stage) -> dict[str, str]:
    from ray.train.collective import broadcast_from_rank_zero

    begun = False

    def begin(inputs: Mapping[str, Path], out: Path) -> None:
        nonlocal begun
        begun = True
        folders = {role: str(folder) for role, folder in inputs.items()}
        broadcast_from_rank_zero({"inputs": folders, "out": str(out)})

    outcome = attempt(runtime, pack(stage), begin)
    if not begun:
        broadcast_from_rank_zero(None)
    elif outcome["how"] == "failed":  # others may be waiting for this one: end them too
        raise RuntimeError(outcome["reason"])
    return outcome


def _follow(runtime: Runtime, stage: Stage) -> None:
    from ray.train.collective import broadcast_from_rank_zero

    told = broadcast_from_rank_zero(None)
    if told is None:
        return
    seed_worker(stage)
    inputs = {role: Path(folder) for role, folder in told["inputs"].items()}
    try:
        execute(runtime, stage, inputs, Path(told["out"]), lambda *_: None)
    except (UserError, Diverged):  # the first worker has the same, and says so
        return
