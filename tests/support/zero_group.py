"""One process of a group that trains by ZeRO; `test_zero_parallel.py` starts them.

    PYTHONPATH=.:tests RANK=0 WORLD_SIZE=2 MASTER_ADDR=... MASTER_PORT=... \
        python -m support.zero_group JOBS

JOBS is a JSON list. The first process writes `<out>.json` (losses, steps) and the model to `<out>`;
of a run that diverges each writes the error to `<out>.<rank>.txt`.
"""

import json
import os
import signal
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from lacuna.inject import learn
from lacuna.train import (
    ONE_DEVICE,
    AllWeights,
    Diverged,
    History,
    Parallel,
    TrainConfig,
    is_main_process,
)
from lacuna.unlearn import OBJECTIVES, UnlearnData, unlearn
from support.tiny import tiny_model, tiny_texts


@dataclass(frozen=True)
class Job:
    """A training run; nothing here depends on the number of processes but `parallel`."""

    out: str
    parallel: Parallel = ONE_DEVICE
    dtype: str = "float32"
    options: dict[str, Any] = field(default_factory=dict)
    """Of the model."""
    objective: str = ""
    """Unlearns with it; empty: learns."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the objective."""
    train: dict[str, Any] = field(default_factory=dict)
    resume: str = ""
    dies_at: int = -1
    """Step at which the last process kills itself."""


def run(job: Job) -> tuple[Any, History, list[int]]:
    """The model, its history and the steps that were done."""
    given = {"lr": 0.01, "weight_decay": 0.1, **job.train}
    config = TrainConfig(
        steps=20, batch_size=4, warmup=3, save_every=8 if job.resume else 0, **given
    )
    model = tiny_model(dtype=getattr(torch, job.dtype), **job.options)
    steps: list[int] = []

    def step(number: int, _: Any) -> None:
        steps.append(number)
        if number == job.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    place: dict[str, Any] = {
        "parallel": job.parallel,
        "on_step": step,
        "resume": Path(job.resume) if job.resume else None,
    }
    if not job.objective:
        return model, learn(model, tiny_texts(11), config, seed=5, **place), steps
    method = OBJECTIVES[job.objective]
    data = UnlearnData(tiny_texts(7, 1), tiny_texts(11, 2), tiny_texts(7, 3, answer=(3,)))
    retained = tiny_model(seed=9, dtype=model.dtype, **job.options)
    objective, weights = method(method.Config(**job.settings)), AllWeights(model)
    history = unlearn(model, weights, objective, data, config, 5, retained=retained, **place)
    return model, history, steps


def main(jobs: list[Job]) -> None:
    """All jobs, one after the other, in one process group."""
    torch.set_num_threads(1)
    disable_progress_bar()
    torch.distributed.init_process_group("gloo")
    for job in jobs:
        try:
            model, history, steps = run(job)
        except Diverged as error:
            Path(f"{job.out}.{torch.distributed.get_rank()}.txt").write_text(str(error))
            continue
        if is_main_process():
            model.save_pretrained(job.out)
            Path(f"{job.out}.json").write_text(json.dumps([history.losses, steps]))
    torch.distributed.destroy_process_group()


def to_json(jobs: list[Job]) -> str:
    """For the command line."""
    return json.dumps([asdict(job) for job in jobs])


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    main([Job(**{**job, "parallel": Parallel(**job["parallel"])}) for job in given])
