"""Bytes of weights, gradients and optimizer states. Activations are not counted."""

from dataclasses import dataclass

from lacuna.train import ONE_DEVICE, Parallel
from lacuna.train.zero import device_bytes

BYTES = {"bfloat16": 2, "float32": 4, "float64": 8}
"""Of a weight, by `model.dtype`."""
REGION_BYTES = 16
"""Of a region weight in training: float32 master, gradient and two moments."""
INDEX_BYTES = 8
"""Of a region weight where regions are single weights: where it is."""
RESUME_BYTES = 12
"""Of a weight in training in a step checkpoint: float32 master and two moments."""


@dataclass(frozen=True)
class Size:
    """Numbers of weights: all of them, those of all value vectors, those of one region; layers."""

    model: int
    values: int
    region: int
    layers: int


@dataclass(frozen=True)
class Memory:
    """Bytes that a model of this size takes, at rest and in training."""

    size: Size
    width: int
    """Bytes of a weight."""
    indexed: bool = False
    """Whether regions are made of single weights."""

    @property
    def weights(self) -> float:
        """Of the model itself."""
        return float(self.width * self.size.model)

    @property
    def region(self) -> float:
        """Of a region in training, beside the model."""
        return float((REGION_BYTES + INDEX_BYTES * self.indexed) * self.size.region)

    def trained(self, parallel: Parallel = ONE_DEVICE) -> float:
        """Per device, of a model whose weights all train."""
        if parallel.zero:
            return device_bytes(parallel, self.size.model, self.width)
        return float(full_bytes(self.width) * self.size.model)


def full_bytes(width: int) -> int:
    """Of a weight where all train: as in a region, and beside bfloat16 weights float32 masters."""
    return 16 if width == 4 else 18
