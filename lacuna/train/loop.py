"""The training loop: loss, backward, clip inside the region, step, publish."""

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lacuna.artifacts import whole_folder
from lacuna.errors import UserError
from lacuna.model_types import PreTrainedModel
from lacuna.tensors import load_tensors, save_tensors
from lacuna.train.checkpointing import checkpointing
from lacuna.train.weights import Editable

OnStep = Callable[[int, Mapping[str, float]], None]


class Diverged(RuntimeError):
    """The loss became NaN or infinite; nothing was updated with it."""


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How weights move, at a rate that is given elsewhere."""

    steps: int = 100
    """Optimizer steps; zero is the identity."""
    batch_size: int = 16
    """Sequences per batch (of each kind, where a step reads several)."""
    accumulation: int = 1
    """Batches per optimizer step; their losses are averaged."""
    schedule: str = "cosine"
    """`cosine` (to zero) or `constant`."""
    warmup: int = 0
    """Steps of linear warm-up."""
    weight_decay: float = 0.0
    """Decoupled decay of the weights in training; others are never touched."""
    clip: float = 1.0
    """Gradient norm limit, over the weights in training only; 0 turns it off."""
    checkpointing: bool = False
    """Recompute activations in the backward pass."""

    def __post_init__(self) -> None:
        not_negative(self, "steps", "warmup", "weight_decay", "clip")
        if self.batch_size < 1 or self.accumulation < 1:
            raise UserError("batch_size and accumulation must be at least 1")
        if self.schedule not in ("cosine", "constant"):
            raise UserError(f"schedule={self.schedule!r}: choose cosine or constant")

    @property
    def texts(self) -> int:
        """Texts of each kind that the whole training reads."""
        return self.steps * self.batch_size * self.accumulation

    def at(self, lr: float) -> "TrainConfig":
        """The same at a learning rate."""
        return TrainConfig(**{**vars(self), "lr": lr})


@dataclass(frozen=True, kw_only=True)
class Resumable(Optimisation):
    """How weights move, in a training that can go on where it was interrupted."""

    save_every: int = 0
    """Steps between resumable checkpoints; 0 keeps none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self, "save_every")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Resumable):
    """How weights move, and how fast."""

    lr: float = 1e-5
    """Peak learning rate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.lr >= 0 and math.isfinite(self.lr)):
            raise UserError(f"lr={self.lr}: must be a finite number, 0 or more")

    def lr_at(self, step: int) -> float:
        """Learning rate of one step (0-based)."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.schedule == "constant":
            return self.lr * warm
        done = max(0, step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * warm * 0.5 * (1 + math.cos(math.pi * done))


def not_negative(config: object, *names: str) -> None:
    """Raise `UserError` for the first of these fields that is below 0."""
    for name in names:
        if getattr(config, name) < 0:
            raise UserError(f"{name}={getattr(config, name)}: must not be negative")


class Loss(NamedTuple):
    """A scalar to minimise, and numbers worth logging."""

    value: Tensor
    metrics: Mapping[str, Tensor] = {}


LossFunction = Callable[[int], Loss]
"""Maps the number of a batch (step * accumulation + part) to its loss."""


@dataclass
class History:
    """What happened: the loss of every step."""

    losses: list[float] = field(default_factory=list)


class Strategy:
    """What else happens while weights train; by default nothing."""

    def after_backward(self, weights: Editable, batch: int, share: float) -> None:
        """May change the masters' gradients, to which a batch just added its `share` of a step."""

    def numbers(self) -> Mapping[str, float]:
        """What it found out about the last batch, worth logging with the step."""
        return {}

    def after_step(self, weights: Editable, done: int, steps: int) -> None:
        """Sees the weights once `done` of `steps` steps are done."""

    def after_training(self, weights: Editable) -> None:
        """May write the weights, masters included."""


NO_STRATEGY = Strategy()
"""Nothing else."""


def train(
    model: PreTrainedModel,
    weights: Editable,
    loss: LossFunction,
    config: TrainConfig,
    *,
    on_step: OnStep | None = None,
    resume: Path | None = None,
    strategy: Strategy = NO_STRATEGY,
) -> History:
    """Minimise `loss` over `weights` for `config.steps` steps with AdamW.

    `resume` names a folder for step checkpoints: an existing one is continued exactly, and new
    ones are written every `config.save_every` steps. Raises `Diverged` at a non-finite loss,
    before the optimizer moves. What a `strategy` remembers is not resumed.
    """
    assert resume is None or strategy is NO_STRATEGY
    masters = list(weights.masters.values())
    optimizer = torch.optim.AdamW(
        masters, lr=config.lr, weight_decay=config.weight_decay, fused=True
    )
    history = History()
    if resume is not None:
        _load(resume, weights, optimizer, history)
    with weights.training(), checkpointing(model, config.checkpointing):
        for step in range(len(history.losses), config.steps):
            metrics = _backward(weights, loss, config, step, strategy)
            _clip(masters, config.clip)
            for group in optimizer.param_groups:
                group["lr"] = config.lr_at(step)
            optimizer.step()
            optimizer.zero_grad()
            weights.write_back()
            strategy.after_step(weights, step + 1, config.steps)
            history.losses.append(metrics["loss"])
            if on_step is not None:
                on_step(step, metrics)
            if resume is not None and config.save_every and (step + 1) % config.save_every == 0:
                _save(resume, weights, optimizer, history)
    strategy.after_training(weights)
    return history


def _backward(
    weights: Editable, loss: LossFunction, config: TrainConfig, step: int, strategy: Strategy
) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in range(config.accumulation):
        batch = step * config.accumulation + part
        value, extra = loss(batch)
        if not torch.isfinite(value):
            raise Diverged(f"loss is {value.item()} at step {step}: lower the learning rate")
        if value.requires_grad:  # not where the region lies above all that the loss reads
            (value / config.accumulation).backward()
        weights.gather_gradients()
        strategy.after_backward(weights, batch, 1 / config.accumulation)
        for name, number in {"loss": value, **extra}.items():
            total[name] = total.get(name, 0.0) + number.item() / config.accumulation
        total |= strategy.numbers()
    return total


def _clip(masters: list[torch.nn.Parameter], limit: float) -> None:
    """Clip after masking: the norm counts the weights in training and no others."""
    norm = torch.nn.utils.clip_grad_norm_(masters, limit or math.inf)
    if not torch.isfinite(norm):
        raise Diverged(f"gradient norm is {norm.item()}: lower the learning rate")


def _save(
    folder: Path, weights: Editable, optimizer: torch.optim.Optimizer, history: History
) -> None:
    """Write masters, moments and losses so that a resumed run repeats the same bits."""
    tensors = {"losses": torch.tensor(history.losses, dtype=torch.float64)}
    for name, master in weights.masters.items():
        tensors[f"master/{name}"] = master
        for key, value in optimizer.state[master].items():
            tensors[f"{key}/{name}"] = value
    target = folder / f"step-{len(history.losses)}"
    with whole_folder(target) as part:
        save_tensors(part / "state.safetensors", tensors)
    drop_older(folder, target)


def _load(
    folder: Path, weights: Editable, optimizer: torch.optim.Optimizer, history: History
) -> None:
    """Continue from the newest step checkpoint in `folder`, if there is one."""
    saved = newest_step(folder)
    if saved is None:
        return
    tensors, _ = load_tensors(saved / "state.safetensors")
    history.losses = tensors["losses"].tolist()
    with torch.no_grad():
        for name, master in weights.masters.items():
            master.copy_(tensors[f"master/{name}"])
            optimizer.state[master] = {
                key: tensors[f"{key}/{name}"].to(
                    "cpu" if key == "step" and not master.is_cuda else master.device
                )
                for key in ("step", "exp_avg", "exp_avg_sq")
            }
    weights.write_back()


def newest_step(folder: Path) -> Path | None:
    """The last step checkpoint in `folder`, if there is one."""
    saved = folder.glob("step-*")
    return max(saved, key=lambda path: int(path.name.split("-")[1]), default=None)


def drop_older(folder: Path, newest: Path) -> None:
    """Remove all step checkpoints but the newest."""
    for old in folder.glob("step-*"):
        if old != newest:
            shutil.rmtree(old)
