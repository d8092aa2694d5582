"""Part 5: how often a step makes the processor wait for the GPU, by objective."""

import warnings
from collections.abc import Mapping

import torch

from benchmarks.gpu.check import Check, Checks, Setting
from benchmarks.gpu.facts import SEED, TINY, data, model, places
from lacuna.train import TrainConfig, editable
from lacuna.unlearn import OBJECTIVES, Edit, unlearn

STEPS = 6
SKIPPED = 2
"""Steps of warm-up, in which kernels are chosen and optimizer states made."""


def checks(setting: Setting) -> Checks:
    """Waits of a step, which `torch.cuda.set_sync_debug_mode` reports; nothing on a processor."""
    for name, method in OBJECTIVES.items():
        if issubclass(method, Edit) or not method.confined:
            continue
        counted = _counted(setting, name)
        value = max(counted[SKIPPED:]) if setting.cuda else None
        yield Check(f"{name}: waits a step", value, "waits")


def _counted(setting: Setting, name: str) -> list[int]:
    """Waits between the ends of steps."""
    changing, counts, seen = model(TINY, setting.device, torch.float32), list[int](), [0]
    method = OBJECTIVES[name]

    def lap(step: int, metrics: Mapping[str, float]) -> None:
        found = sum("synchroniz" in str(one.message) for one in caught)
        counts.append(found - seen[0])
        seen[0] = found

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if setting.cuda:
            torch.cuda.set_sync_debug_mode("warn")
        try:
            unlearn(
                changing,
                editable(changing, places(changing)["region"]),
                method(method.Config()),
                data(TINY),
                TrainConfig(steps=STEPS, lr=1e-3, batch_size=TINY.batch),
                SEED,
                retained=model(TINY, setting.device, torch.float32, seed=SEED + 1),
                on_step=lap,
            )
        finally:
            if setting.cuda:
                torch.cuda.set_sync_debug_mode("default")
    return counts
