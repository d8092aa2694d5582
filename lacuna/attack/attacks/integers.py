"""Integer quantization: round the weights of every linear layer to a few bits.

    w -> s round(w / s),   s = max|row| / (2^(bits-1) - 1), one scale per output row

Rounding can undo small unlearning updates (Zhang et al. 2024, arXiv:2410.16454).
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor

from lacuna.attack.base import ATTACKS, AttackInputs
from lacuna.attack.config import AttackConfig, check_bits
from lacuna.attack.outcome import Outcome
from lacuna.attack.replacing import Replacing


@ATTACKS.register("integers")
class Integers(Replacing):
    """Symmetric rounding to integers, `int8` and the like."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The widths."""

        bits: tuple[int, ...] = ()
        """Bits of a weight, 2 to 16; an attack each."""

        def __post_init__(self) -> None:
            for bits in self.bits:
                check_bits(bits)

    config: Config

    off: ClassVar[str] = "attack.bits=[]"

    @classmethod
    def options(cls, study: AttackConfig) -> Config | None:
        """Runs where a study lists widths."""
        return cls.Config(bits=study.bits) if study.bits else None

    @property
    def times(self) -> int:
        """One outcome for each width."""
        return len(self.config.bits)

    def run(self, given: AttackInputs) -> list[Outcome]:
        """Measure all forget questions before and after each rounding."""
        return [
            self.measure(given, f"int{bits}", partial(rounded, bits=bits))
            for bits in self.config.bits
        ]


def rounded(weight: Tensor, bits: int) -> Tensor:
    """(rows, columns) weights on the grid of 2^bits - 1 levels of each row."""
    check_bits(bits)
    levels = 2 ** (bits - 1) - 1
    scale = weight.float().abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / levels
    grid: Tensor = (weight.float() / scale).round() * scale
    return grid.to(weight.dtype)
