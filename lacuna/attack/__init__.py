"""Attacks: relearning, benign training, quantization."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedModel

from lacuna.attack.base import Facts, Outcome, recall, split_people
from lacuna.attack.quantize import check_bits, quantize, rounded
from lacuna.attack.relearn import benign, relearn
from lacuna.data.tokens import Encoded
from lacuna.errors import UserError
from lacuna.train import TrainConfig

__all__ = [
    "AttackConfig",
    "Facts",
    "Outcome",
    "attack",
    "benign",
    "quantize",
    "recall",
    "relearn",
    "rounded",
    "split_people",
]


@dataclass(frozen=True, kw_only=True)
class AttackConfig:
    """Which attacks, how hard. An empty list leaves an attack out."""

    train: TrainConfig = field(default_factory=lambda: TrainConfig(steps=30, schedule="constant"))
    """Steps and batch size of relearning and benign training; rates are listed below."""
    relearn_lrs: tuple[float, ...] = (3e-4, 1e-3)
    """Rates of relearning on some forgotten people."""
    benign_lrs: tuple[float, ...] = (3e-4,)
    """Rates of training on retain facts."""
    bits: tuple[int, ...] = (8, 4)
    """Quantization widths."""
    share: float = 0.5
    """Share of the forgotten people that the attacker knows (above 0, below 1)."""

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise UserError(f"attack.share={self.share}: must be above 0 and below 1")
        if min([*self.relearn_lrs, *self.benign_lrs], default=0) < 0:
            raise UserError("attack.relearn_lrs and attack.benign_lrs must not be negative")
        for bits in self.bits:
            check_bits(bits)


def attack(
    model: PreTrainedModel, facts: Facts, retain: Sequence[Encoded], config: AttackConfig, seed: int
) -> list[Outcome]:
    """Run every configured attack on the model; its weights are the same afterwards."""
    found = [relearn(model, facts, config.train, lr, seed) for lr in config.relearn_lrs]
    found += [benign(model, facts, retain, config.train, lr, seed) for lr in config.benign_lrs]
    found += [quantize(model, facts, bits) for bits in config.bits]
    return found
