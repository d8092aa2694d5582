"""Sets of single weights as packed bits: bit i of byte b stands for flat weight 8 b + i."""

import numpy as np
import torch
from torch import Tensor


def pack(mask: Tensor) -> Tensor:
    """uint8 (..., ceil(n / 8)) of a boolean tensor (..., n); the bits after the last are 0."""
    return torch.from_numpy(np.packbits(mask.cpu().numpy(), axis=-1, bitorder="little"))


def unpack(bits: Tensor, count: int) -> Tensor:
    """The boolean vector (count,) of packed bits (ceil(count / 8),)."""
    flat = np.unpackbits(bits.cpu().numpy(), count=count, bitorder="little")
    return torch.from_numpy(flat).bool()


def positions(bits: Tensor, count: int) -> Tensor:
    """Ascending flat positions (int64) of the bits that are set."""
    return unpack(bits, count).nonzero()[:, 0]


def number(bits: Tensor) -> int:
    """How many bits are set."""
    return int(np.bitwise_count(bits.cpu().numpy()).sum(dtype=np.int64))


def invert(bits: Tensor, count: int) -> Tensor:
    """All other bits of `count`; those after the last stay 0."""
    flipped = ~bits
    if count % 8:
        flipped[..., -1] &= (1 << count % 8) - 1
    return flipped


def width(count: int) -> int:
    """Bytes that `count` bits take."""
    return -(-count // 8)
