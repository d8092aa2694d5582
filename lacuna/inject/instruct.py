"""Answer-only instruction tuning after injection, confined to the last layers (LACUNA 2.4).

LoRA on all linear matrices of the last layers, loss on answers only, merged into the weights: the
model learns to answer questions about people that it was injected with as sentences. Layers that
are tuned must hold no mask, or a mask would no longer be all that injection changed in it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from torch import nn

from lacuna.data.tokens import Encoded
from lacuna.errors import UserError
from lacuna.model.hidden import decoder_layers
from lacuna.model_types import PreTrainedModel
from lacuna.seeds import derive
from lacuna.train import History, LoraShape, OnStep, TrainConfig, language_loss, lora, train


@dataclass(frozen=True, kw_only=True)
class InstructConfig:
    """How a model learns to answer; LACUNA's values but for the steps (its: 10 epochs)."""

    train: TrainConfig = field(default_factory=lambda: TrainConfig(steps=0, lr=1.5e-4))
    """Steps (0 leaves the model as it is), rate, batch size."""
    layers: int = 2
    """The last so many layers are tuned."""
    rank: int = 16
    """LoRA rank."""
    alpha: int = 8
    """LoRA scale, times the rank."""

    def __post_init__(self) -> None:
        if self.train.save_every:
            raise UserError(
                f"instruct.train.save_every={self.train.save_every}: instruction tuning is not "
                f"resumed: leave it out"
            )
        for name in ("layers", "rank"):
            if getattr(self, name) < 1:
                raise UserError(f"instruct.{name}={getattr(self, name)}: must be at least 1")


def instruct(
    model: PreTrainedModel,
    texts: Sequence[Encoded],
    masked: Collection[str],
    config: InstructConfig,
    seed: int,
    *,
    on_step: OnStep | None = None,
) -> History:
    """Tune the last layers on answers to `texts`, in place; zero steps leave every bit.

    `masked` names the tensors that hold masks; raises `UserError` if one would be tuned.
    """
    if not config.train.steps:
        return History()
    targets = _matrices(model, config.layers)
    if held := [name for name in masked if name.removesuffix(".weight") in targets]:
        raise UserError(
            f"instruct.layers={config.layers} would tune {held[0]}, which holds masks: leave those "
            f"layers without (masks.skip_layers), or tune fewer"
        )
    shape = LoraShape(rank=config.rank, alpha=config.alpha, dropout=0)
    loss = language_loss(model, texts, config.train.batch_size, derive(seed, "instruct"))
    with lora(model, shape, derive(seed, "lora"), targets=targets, merge=True) as weights:
        return train(model, weights, loss, config.train, on_step=on_step)


def _matrices(model: PreTrainedModel, count: int) -> list[str]:
    """Names of the linear modules of the last `count` layers."""
    layers = decoder_layers(model)
    if count > len(layers):
        raise UserError(f"instruct.layers={count}: the model has {len(layers)}")
    last = {m for layer in layers[-count:] for m in layer.modules() if isinstance(m, nn.Linear)}
    return [name for name, module in model.named_modules() if module in last]
