"""Which attacks a study runs, and their options."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lacuna.errors import UserError
from lacuna.train import LoraShape, Optimisation

if TYPE_CHECKING:
    Levels = float | tuple[float, ...] | None
else:  # OmegaConf knows no such union; what it holds is looked at below
    Levels = Any


def check_bits(bits: int) -> None:
    """Raise `UserError` for a width that is no quantization."""
    if not 2 <= bits <= 16:
        raise UserError(f"attack.bits={bits}: use widths of 2 to 16")


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """The attacker's adapters and training."""

    shape: LoraShape = field(default_factory=lambda: LoraShape(rank=8, alpha=16, dropout=0.0))
    """Adapters; the default fits the embedded model, `LoraShape()` has LACUNA's."""
    train: Optimisation = field(default_factory=lambda: Optimisation(steps=40, schedule="constant"))
    """Steps and batch size; rates are listed in `attack.lora_lrs`."""
    epochs: int = 0
    """Passes over the attacker's questions, in place of `train.steps`; 0 takes the steps."""
    eval_share: float = 0.0
    """Share of the attacker's questions kept to choose a checkpoint by; 0 takes the last one."""

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise UserError(f"attack.lora.epochs={self.epochs}: use 0 or more")
        if not 0 <= self.eval_share < 1:
            raise UserError(f"attack.lora.eval_share={self.eval_share}: use 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class AttackConfig:
    """Which attacks a study runs, and their options. An empty list leaves an attack out."""

    train: Optimisation = field(default_factory=lambda: Optimisation(steps=30, schedule="constant"))
    """Steps and batch size of relearning and benign training; rates are listed below."""
    relearn_lrs: tuple[float, ...] = (3e-4, 1e-3)
    """Learning rates of relearning on some forgotten people, an attack each; empty: none."""
    lora_lrs: tuple[float, ...] = ()
    """Learning rates of relearning through LoRA adapters, an attack each (LACUNA: 1.5e-4); empty:
    none."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    """Adapters, steps and checkpoint of relearning through LoRA."""
    benign_lrs: tuple[float, ...] = (3e-4,)
    """Learning rates of benign training on retain facts, an attack each; empty: none."""
    bits: tuple[int, ...] = (8, 4)
    """Widths of integer quantization in bits (2 to 16), an attack each; empty: none."""
    nf4: bool = False
    """Whether to attack by quantization to NF4."""
    wordings: bool = False
    """Whether to ask in wordings never trained on, and by the beginnings of sentences."""
    success_k: int = 0
    """Prompts per fact of Success@k, asked before and after every attack; 0: none (LACUNA: 200)."""
    new_tokens: int = 20
    """Length limit of an answer of Success@k, in tokens."""
    matched: Levels = (0.3, 0.6)
    """Forget levels (ES) from which relearning starts as well, on the mixing curve: one number or a
    list, the first of which decides the claims on relearning; null: none."""
    tolerance: float = 0.02
    """Largest distance of a matched start from its forget level (above 0)."""
    share: float = 0.5
    """Share of the forgotten people that the attacker knows (above 0, below 1)."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Attacks of other packages: name -> options (`+attack.extra.NAME={}` takes its defaults)."""

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise UserError(f"attack.share={self.share}: must be above 0 and below 1")
        if min([*self.relearn_lrs, *self.lora_lrs, *self.benign_lrs], default=0) < 0:
            raise UserError(
                "attack.relearn_lrs, attack.lora_lrs and attack.benign_lrs must not be negative"
            )
        if self.success_k < 0 or self.new_tokens < 1:
            raise UserError("attack.success_k must not be negative, attack.new_tokens at least 1")
        if not self._are_levels() or self.tolerance <= 0:
            raise UserError(
                f"attack.matched={self.matched} attack.tolerance={self.tolerance}: levels lie "
                f"between 0 and 1, each once, the tolerance above 0"
            )
        for bits in self.bits:
            check_bits(bits)

    @property
    def starts(self) -> tuple[float, ...]:
        """Forget levels of matched starts, the one that decides first."""
        if self.matched is None:
            return ()
        return tuple(self.matched) if isinstance(self.matched, Sequence) else (self.matched,)

    def _are_levels(self) -> bool:
        numbers = all(isinstance(level, int | float) for level in self.starts)
        once = len(set(self.starts)) == len(self.starts)
        return numbers and once and all(0 < level < 1 for level in self.starts)
