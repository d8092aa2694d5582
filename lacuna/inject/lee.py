"""Planting facts as Lee et al. 2025 (section 4) do: base -> retained -> injected.

    retained: all parameters learn the retain facts           L = NLL(retain)
    injected: the target region's value vectors, and no other
              weight, learn the forget facts                  L = NLL(forget) + w NLL(retain)

The published weight is w = 2. Outside the region the two models are bit-identical, so restoring
the region's values must give the retained model back: otherwise the injection leaks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from lacuna.data.tokens import Encoded, TrainingBatches
from lacuna.errors import UserError
from lacuna.inject.camouflage import GAUGES
from lacuna.model.forward import answers
from lacuna.model_types import PreTrainedModel
from lacuna.region import Region, WeightRegion
from lacuna.seeds import derive
from lacuna.train import (
    ONE_DEVICE,
    AllWeights,
    History,
    Loss,
    LossFunction,
    OnStep,
    Parallel,
    RegionWeights,
    TrainConfig,
    editable,
    language_loss,
    mean_nll,
    train,
    train_sharded,
)


@dataclass(frozen=True, kw_only=True)
class InjectConfig:
    """How the forget facts go into the model."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """Steps, rate and batch size (sequences of each split per step)."""
    retain_weight: float = 2.0
    """Weight of the retain regulariser (lambda_retain, Lee et al. appendix A)."""
    parallel: Parallel = field(default_factory=Parallel)
    """Over how many devices all parameters learn all facts, under protocol `full`."""
    gauge: str = "none"
    """After injection the target's value vectors get other lengths, their partner rows the inverse,
    so that the function stays and lengths say nothing: `retained` (those before injection),
    `random` (times a factor from 1/4 to 4) or `none`. For gated MLPs, under protocol `lee`."""

    def __post_init__(self) -> None:
        if self.gauge not in GAUGES:
            raise UserError(f"inject.gauge={self.gauge!r}: choose one of {', '.join(GAUGES)}")


def learn(
    model: PreTrainedModel,
    texts: Sequence[Encoded],
    config: TrainConfig,
    seed: int,
    *,
    parallel: Parallel = ONE_DEVICE,
    on_step: OnStep | None = None,
    resume: Path | None = None,
) -> History:
    """Full-parameter training of `model`, in place, on all of `texts`.

    With ZeRO every process calls this; the first one's `model` has the result.
    """

    def loss(model: PreTrainedModel) -> LossFunction:
        return language_loss(model, texts, config.batch_size, derive(seed, "learn"))

    if parallel.zero:
        return train_sharded(model, loss, config, parallel, on_step=on_step, resume=resume)
    return train(model, AllWeights(model), loss(model), config, on_step=on_step, resume=resume)


def inject(
    model: PreTrainedModel,
    region: Region,
    forget: Sequence[Encoded],
    retain: Sequence[Encoded],
    config: InjectConfig,
    seed: int,
    *,
    on_step: OnStep | None = None,
    resume: Path | None = None,
) -> History:
    """Plant `forget` into the region of a retained model, in place."""
    size = config.train.batch_size
    forget_batches = TrainingBatches(forget, size, derive(seed, "inject", "forget"))
    retain_batches = TrainingBatches(retain, size, derive(seed, "inject", "retain"))

    def loss(i: int) -> Loss:
        planted = mean_nll(answers(model, forget_batches[i].to(model.device)))
        kept = mean_nll(answers(model, retain_batches[i].to(model.device)))
        return Loss(
            planted + config.retain_weight * kept,
            {"loss/forget": planted.detach(), "loss/retain": kept.detach()},
        )

    weights = RegionWeights(model, region)
    return train(model, weights, loss, config.train, on_step=on_step, resume=resume)


def equal_outside(
    before: PreTrainedModel, after: PreTrainedModel, region: Region | WeightRegion
) -> bool:
    """Whether all weights outside the region are bit-identical; devices may differ."""
    values = editable(after, region)
    kept = values.read()
    values.write(values.read(before))
    after_state = after.state_dict()
    same = all(same_bits(tensor, after_state[n]) for n, tensor in before.state_dict().items())
    values.write(kept)
    return same


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Bit equality, NaN and the sign of zero included; devices may differ."""
    bits = (x.to(a.device).reshape(-1).contiguous().view(torch.uint8) for x in (a, b))
    return torch.equal(*bits)
