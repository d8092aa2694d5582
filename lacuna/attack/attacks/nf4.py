"""NF4: 4-bit NormalFloat quantization, block by block (Dettmers et al. 2023, arXiv:2305.14314).

    w -> c q(w / c),   c = max|w| over a block of 64 weights,   q = nearest of 16 code values

The code is 0 and quantiles of N(0, 1): 8 above zero and 7 below, each side spread evenly in
probability from 1/2 to 1 - delta and divided by its outermost (section 3 and appendix E: delta =
(1/32 + 1/30) / 2), so that -1, 0 and 1 are exact. The scales stay in float32: the paper's double
quantization rounds them too, which saves memory and adds an error of its own.
"""

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from lacuna.attack.base import ATTACKS, AttackInputs
from lacuna.attack.config import AttackConfig
from lacuna.attack.outcome import Outcome
from lacuna.attack.replacing import Replacing

BLOCK = 64
"""Weights that share a scale, along the flattened matrix."""
DELTA = (1 / 32 + 1 / 30) / 2
"""Probability beyond the outermost quantile."""


@ATTACKS.register("nf4")
class NF4(Replacing):
    """Rounding to 16 values spread like a normal distribution."""

    @dataclass(frozen=True)
    class Config:
        """No options: as published."""

    off: ClassVar[str] = "attack.nf4=false"

    @classmethod
    def options(cls, study: AttackConfig) -> Config | None:
        """Runs where a study switches it on."""
        return cls.Config() if study.nf4 else None

    def run(self, given: AttackInputs) -> list[Outcome]:
        """Measure all forget questions before and after rounding."""
        return [self.measure(given, "nf4", nf4_rounded)]


@cache
def code_book() -> Tensor:
    """The 16 code values in ascending order, float32."""
    values = [*(-_side(7))[::-1], 0.0, *_side(8)]
    return torch.tensor(values, dtype=torch.float32)


def _side(count: int) -> NDArray[np.float64]:
    """`count` quantiles above zero, ascending to 1."""
    share = np.arange(1, count + 1) / count
    quantiles: NDArray[np.float64] = scipy.special.ndtri(0.5 + share * (0.5 - DELTA))
    scaled: NDArray[np.float64] = quantiles / quantiles[-1]
    return scaled


def nf4_rounded(weight: Tensor) -> Tensor:
    """The weights on their blocks' grids; the last block of a matrix may be shorter."""
    flat = weight.float().flatten()
    padded = torch.nn.functional.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    scale = padded.abs().amax(dim=1, keepdim=True)
    book = code_book().to(weight.device)
    share = padded / scale.clamp_min(torch.finfo(torch.float32).tiny)
    nearest = torch.bucketize(share, (book[1:] + book[:-1]) / 2)
    return (book[nearest] * scale).flatten()[: len(flat)].view_as(weight).to(weight.dtype)
