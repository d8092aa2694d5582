"""Full-parameter training over several devices: DeepSpeed's ZeRO, stages 2 and 3.

Every process runs the same loop, and asks the model together with the others
(`lacuna.model.shared_forward`:
each computes its rows of each batch, all compute the output head and the loss); gradients are
averaged, and each keeps the optimizer states (stage 2: and gradients; stage 3: and weights) of its
part of the model (Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion
Parameter Models"). Batches, loss, rate, clipping and decay are those of `lacuna.train.loop`: losses
agree to rounding, not to the bit, as sums are taken in another order. One thing differs: decay also
reaches weights that a loss does not read, such as those above the layer that RMU steers.

Static bytes per device for N weights of b bytes (bfloat16: 2) over W workers:

    one device, without ZeRO   18 N in bfloat16, 16 N in float32
    stage 2                    b N weights + (b N gradients + 12 N) / W
    stage 3                    (b N weights + b N gradients + 12 N) / W
    with offload               without the 12 N / W, and 16 N in the memory of the host

12 N are float32 masters and the two moments of Adam. For N = 7.3e9 (OLMo-2-7B), W = 8, bfloat16:
131 GB on one device, 27 GB with stage 2, 15 GB with stage 3; with offload 16 and 4 GB, and 117 GB
of host memory. On top come activations, communication buffers (a few GB at DeepSpeed's defaults)
and, until the parts are handed out, the whole model twice (4 N).

DeepSpeed is imported when training starts and compiles nothing: the optimizer is torch's, on the
CPU too.
"""

import copy
import gc
import logging
import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from lacuna.artifacts import sync_tree
from lacuna.errors import UserError
from lacuna.model.shared_forward import joint
from lacuna.model_types import PreTrainedModel
from lacuna.tensors import load_tensors, save_tensors
from lacuna.train.checkpointing import checkpointing
from lacuna.train.loop import (
    Diverged,
    History,
    LossFunction,
    OnStep,
    TrainConfig,
    drop_older,
    newest_step,
)

LossOf = Callable[[PreTrainedModel], LossFunction]
"""Makes the loss of a model: here of one that all processes ask together."""


@dataclass(frozen=True, kw_only=True)
class Parallel:
    """How full-parameter training is spread over devices.

    All of it belongs to a result's key: another number of workers gives other bits.
    """

    zero: int = 0
    """0: one device, no DeepSpeed. 2: gradients and optimizer states in parts. 3: weights too."""
    workers: int = 1
    """Processes, a GPU each; a batch is split among them, so its size is the whole batch's."""
    offload: bool = False
    """Optimizer states live in the memory of the host."""

    def __post_init__(self) -> None:
        if self.zero not in (0, 2, 3):
            raise UserError(f"parallel.zero={self.zero}: choose 0 (one device), 2 or 3")
        if self.workers < 1:
            raise UserError(f"parallel.workers={self.workers}: must be at least 1")
        if self.zero == 0 and (self.workers > 1 or self.offload):
            raise UserError("parallel.workers and parallel.offload need parallel.zero=2 or 3")
        if self.zero and self.workers == 1 and not self.offload:
            raise UserError(
                f"parallel.zero={self.zero} with one worker saves nothing: give parallel.workers=2 "
                "or more, or parallel.offload=true"
            )


ONE_DEVICE = Parallel()
"""No ZeRO."""


def require_deepspeed() -> None:
    """Raises `UserError` where DeepSpeed is not installed; does not import it."""
    if find_spec("deepspeed") is None:
        raise UserError("parallel.zero needs DeepSpeed, which is not installed here: install it")


def device_bytes(parallel: Parallel, parameters: int, width: int) -> float:
    """Static bytes per device by the formulas above, `width` bytes a weight."""
    states = 0 if parallel.offload else 12
    if parallel.zero == 2:
        return parameters * (width + (width + states) / parallel.workers)
    return parameters * (2 * width + states) / parallel.workers


def is_main_process() -> bool:
    """Whether this process is alone, or the first of its group: the one that writes results."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def train_sharded(
    model: PreTrainedModel,
    loss_of: LossOf,
    config: TrainConfig,
    parallel: Parallel,
    *,
    on_step: OnStep | None = None,
    resume: Path | None = None,
) -> History:
    """`lacuna.train.train` for all weights, by all processes of the default process group.

    `resume` is one folder for all of them. The trained weights are in the first process's `model`;
    the others' are spent. Each process's current device is its own.

    Raises `UserError` if the host's memory is too small, `Diverged` in all processes alike.
    """
    assert distributed.get_world_size() == parallel.workers
    device = model.device
    _require_host_memory(model, parallel)
    losses = _train(
        model, loss_of, config, parallel, on_step if is_main_process() else None, resume
    )
    gc.collect()  # DeepSpeed's objects know each other, and hold the device's memory
    if is_main_process():
        model.to(device)  # type: ignore[arg-type]
    return History(losses)


def _train(
    model: PreTrainedModel,
    loss_of: LossOf,
    config: TrainConfig,
    parallel: Parallel,
    on_step: OnStep | None,
    resume: Path | None,
) -> list[float]:
    with _engine(model, config, parallel) as (engine, optimizer):
        loss = loss_of(joint(engine.module, engine))
        parts = Parts(engine, optimizer, parallel.zero)
        losses = parts.load(resume) if resume else []
        with checkpointing(engine.module, config.checkpointing):
            for step in range(len(losses), config.steps):
                metrics = _step(engine, optimizer, loss, config, step)
                losses.append(metrics["loss"])
                if on_step is not None:
                    on_step(step, metrics)
                if resume and config.save_every and (step + 1) % config.save_every == 0:
                    parts.save(resume, losses)
        _take_back(model, engine.module, parallel.zero)
    return losses


def _require_host_memory(model: PreTrainedModel, parallel: Parallel) -> None:
    needed = 16 * model.num_parameters() if parallel.offload else 0
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > memory:
        raise UserError(
            f"parallel.offload=true keeps {needed / 1e9:.0f} GB in the memory of the host, which "
            f"has {memory / 1e9:.0f} GB: use a larger host, or more workers without offload"
        )


@contextmanager
def _engine(
    model: PreTrainedModel, config: TrainConfig, parallel: Parallel
) -> Iterator[tuple[Any, torch.optim.Optimizer]]:
    """DeepSpeed around a copy of `model`, which waits on the CPU meanwhile, and its optimizer."""
    deepspeed = _import_deepspeed(model.device)
    working = copy.deepcopy(model).requires_grad_(True)
    model.to("cpu" if is_main_process() else "meta")  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(
        working.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
    )
    engine, *_ = deepspeed.initialize(
        model=working, optimizer=optimizer, config=_settings(working, config, parallel)
    )
    engine.eval()
    try:
        yield engine, optimizer
    finally:
        engine.destroy()


def _import_deepspeed(device: torch.device) -> Any:
    if device.type == "cpu":
        os.environ["DS_ACCELERATOR"] = "cpu"  # read at import; else it warns of a missing GPU
    import deepspeed
    import deepspeed.ops

    # To it, no operator can be compiled here. It would build one for shared memory on every CPU,
    # which needs a compiler at run time; we use none of them.
    vars(deepspeed.ops)["__compatible_ops__"] = {}
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")
    return deepspeed


def _settings(model: PreTrainedModel, config: TrainConfig, parallel: Parallel) -> dict[str, Any]:
    """DeepSpeed's own configuration."""
    zero: dict[str, Any] = {"stage": parallel.zero}
    if parallel.offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": model.device.type == "cuda"}
    return {
        "train_micro_batch_size_per_gpu": -(-config.batch_size // parallel.workers),
        "gradient_accumulation_steps": config.accumulation,
        "gradient_clipping": config.clip,
        "bf16": {"enabled": model.dtype == torch.bfloat16},
        "communication_data_type": "fp32",
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,
    }


def _step(
    engine: Any,
    optimizer: torch.optim.Optimizer,
    loss: LossFunction,
    config: TrainConfig,
    step: int,
) -> dict[str, float]:
    total: dict[str, float] = {}
    for group in optimizer.param_groups:
        group["lr"] = config.lr_at(step)
    for part in range(config.accumulation):
        value, extra = loss(step * config.accumulation + part)
        numbers = _mean_over_group({"loss": value.detach(), **extra})
        if not math.isfinite(numbers["loss"]):
            raise Diverged(f"loss is {numbers['loss']} at step {step}: lower the learning rate")
        engine.backward(value)
        engine.step()
        for name, number in numbers.items():
            total[name] = total.get(name, 0.0) + number / config.accumulation
    norm = float(engine.get_global_grad_norm() or 0.0)
    if not (engine.was_step_applied() and math.isfinite(norm)):  # nothing is saved from here on
        raise Diverged(f"gradient norm at step {step} is not finite: lower the learning rate")
    return total


def _mean_over_group(values: dict[str, Tensor]) -> dict[str, float]:
    stacked = torch.stack([value.float() for value in values.values()])
    distributed.all_reduce(stacked)
    means = (stacked / distributed.get_world_size()).tolist()
    return dict(zip(values, means, strict=True))


@torch.no_grad()
def _take_back(model: PreTrainedModel, trained: nn.Module, zero: int) -> None:
    """Copy the trained weights into the first process's `model`, one at a time."""
    import deepspeed

    targets = dict(model.named_parameters())
    for name, weight in trained.named_parameters():
        with deepspeed.zero.GatheredParameters([weight], enabled=zero == 3):
            if is_main_process():
                targets[name].copy_(weight)


class Parts:
    """What one process holds of the optimizer, to be saved and loaded as safetensors.

    A folder `step-K` has a file per process, so that a run resumes with as many workers.
    DeepSpeed's own checkpoints are pickles.
    """

    def __init__(self, engine: Any, optimizer: torch.optim.Optimizer, zero: int) -> None:
        self.sharded, self.optimizer, self.zero = engine.optimizer, optimizer, zero
        self.file = f"rank-{distributed.get_rank()}.safetensors"

    @property
    def masters(self) -> list[Tensor]:
        """Flat float32 weights, to which the optimizer's states belong."""
        if self.zero == 3:
            return list(self.sharded.fp32_partitioned_groups_flat)
        return list(self.sharded.single_partition_of_fp32_groups)

    def save(self, folder: Path, losses: list[float]) -> None:
        """Write `folder/step-K`, all processes together; older ones are removed."""
        tensors = {"losses": torch.tensor(losses, dtype=torch.float64)}
        for i, master in enumerate(self.masters):
            tensors[f"master/{i}"] = master
            for key, value in self.optimizer.state[master].items():
                tensors[f"{key}/{i}"] = value
        target = folder / f"step-{len(losses)}"
        part = folder / f".{target.name}.part"
        if is_main_process():
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
        distributed.barrier()
        save_tensors(part / self.file, tensors)
        distributed.barrier()
        if is_main_process():
            sync_tree(part)
            part.rename(target)
            drop_older(folder, target)

    @torch.no_grad()
    def load(self, folder: Path) -> list[float]:
        """Continue from the newest `step-K`, if there is one: the losses so far."""
        saved = newest_step(folder)
        if saved is None:
            return []
        tensors, _ = load_tensors(saved / self.file)
        for i, master in enumerate(self.masters):
            master.copy_(tensors[f"master/{i}"])
            self.optimizer.state[master] = {
                "step": tensors[f"step/{i}"].to(master.device),
                **{k: tensors[f"{k}/{i}"].to(master.device) for k in ("exp_avg", "exp_avg_sq")},
            }
        self._publish()
        return [float(value) for value in tensors["losses"]]

    def _publish(self) -> None:
        """Bring the masters to the weights, as DeepSpeed does after loading its own files."""
        if self.zero == 2:
            self.sharded.update_lp_params()
            return
        self.sharded.checkpoint_event_prologue()
        for i, master in enumerate(self.masters):
            self.sharded.fp16_partitioned_groups_flat[i].copy_(master)
            self.sharded._unflatten_partitioned_parameters(i)
        self.sharded.checkpoint_event_epilogue()
