"""Processes that train one model together: each takes its share of batches, gradients add up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed, nn

T = TypeVar("T")


@dataclass(frozen=True)
class ProcessGroup:
    """This process among its peers; alone where `torch.distributed` is not set up."""

    rank: int
    size: int

    @classmethod
    def here(cls) -> "ProcessGroup":
        """As `torch.distributed` has it."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls(0, 1)
        return cls(distributed.get_rank(), distributed.get_world_size())

    def mine(self, jobs: Sequence[T]) -> Sequence[T]:
        """Every job belongs to exactly one process."""
        return jobs[self.rank :: self.size]

    def add_up(self, masters: Iterable[nn.Parameter]) -> None:
        """Make each gradient the sum over processes; one without any adds zero."""
        if self.size == 1:
            return
        for master in masters:
            if master.grad is None:
                master.grad = torch.zeros_like(master)
            distributed.all_reduce(master.grad)

    def total(self, values: Sequence[float]) -> list[float]:
        """Sums over processes."""
        if self.size == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(summed)
        return [float(value) for value in summed]
