"""Where a checkpoint changed, and how concentrated the change is, from one pass over its tensors.

    relative            |after - before| / |before|, root mean squares
    effective fraction  (sum |d|)^2 / (n sum d^2): k/n where k of n weights moved equally far, 0.64
                        where all of them moved by Gaussian noise
    Gini                inequality of |d|: 0 where all moved equally far, 1 - k/n where k did

Differences are taken in float32, in blocks of rows: memory does not depend on the model.
"""

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import reduce
from typing import TypeVar

import torch
from torch import Tensor

from lacuna.audit.auc import Tally, from_sketch, sketch
from lacuna.audit.stream import Checkpoint, refuse_non_finite, together
from lacuna.results import ChangeRecord

K = TypeVar("K")


@dataclass(frozen=True)
class Difference:
    """Sums over weights of d = later - earlier; adds up over tensors."""

    weights: int
    changed: int
    """Weights with |d| of 2^-135 or more."""
    total: float
    """Sum of |d|."""
    squares: float
    """Sum of d^2."""
    reference: float
    """Sum of the earlier weights' squares."""
    largest: float
    """The largest |d|."""
    sizes: Tally
    """How many weights have which |d|."""

    def __add__(self, other: "Difference") -> "Difference":
        return Difference(
            self.weights + other.weights,
            self.changed + other.changed,
            self.total + other.total,
            self.squares + other.squares,
            self.reference + other.reference,
            max(self.largest, other.largest),
            self.sizes + other.sizes,
        )

    def to_json(self) -> ChangeRecord:
        """Plain JSON values; None where nothing changed."""
        moved = self.squares > 0
        spread = self.total**2 / (self.weights * self.squares) if moved else None
        return {
            "weights": self.weights,
            "changed": self.changed,
            "changed_share": self.changed / self.weights,
            "distance": math.sqrt(self.squares),
            "rms": math.sqrt(self.squares / self.weights),
            "largest": self.largest,
            "relative": math.sqrt(self.squares / self.reference) if self.reference else None,
            "effective_fraction": spread,
            "gini": self.sizes.gini(),
        }


@dataclass
class Changes:
    """The difference of two checkpoints, by tensor and by value vector."""

    tensors: dict[str, Difference] = field(default_factory=dict)
    vectors: dict[str, Tensor] = field(default_factory=dict)
    """Module of value vectors -> (d_ff,) length of each column's change."""

    @property
    def whole(self) -> Difference:
        """The difference of all weights."""
        return _sum(self.tensors.values())

    def by(self, what: Callable[[str], K]) -> dict[K, Difference]:
        """Differences of the tensors for which `what` says the same, in order of the model."""
        groups: dict[K, list[Difference]] = {}
        for name, found in self.tensors.items():
            groups.setdefault(what(name), []).append(found)
        return {group: _sum(found) for group, found in groups.items()}


def _sum(parts: Iterable[Difference]) -> Difference:
    return reduce(operator.add, parts)


def compare(earlier: Checkpoint, later: Checkpoint) -> Changes:
    """All differences between two checkpoints that are alike (`require_alike`).

    Raises `UserError` for a tensor that holds NaN or infinity.
    """
    outputs = {f"{module}.weight": module for module in earlier.layout.shapes}
    found = Changes()
    for name in earlier.shapes:
        sums = _Sums(by_column=name in outputs)
        for before, after in together([earlier, later], name):
            sums.add(before.float(), after.float())
        found.tensors[name] = sums.difference()
        if not math.isfinite(found.tensors[name].squares):
            refuse_non_finite([earlier, later], name)
        if name in outputs:
            found.vectors[outputs[name]] = sums.columns.sqrt()
    return found


class _Sums:
    """A tensor's `Difference`, block after block of its rows."""

    def __init__(self, by_column: bool) -> None:
        self.by_column, self.weights = by_column, 0
        self.total = self.squares = self.reference = self.largest = 0.0
        self.columns, self.sizes = torch.zeros(()), sketch(torch.zeros(0))
        """(columns,) squared lengths, and the sketch of sizes."""

    def add(self, before: Tensor, after: Tensor) -> None:
        """Count one block of rows."""
        size = (after - before).abs_()
        self.weights += size.numel()
        self.total += float(size.sum())
        self.squares += float(torch.linalg.vector_norm(size)) ** 2
        self.reference += float(torch.linalg.vector_norm(before)) ** 2
        self.largest = max(self.largest, float(size.max()))
        self.sizes += sketch(size)
        if self.by_column:
            self.columns = self.columns + size.square().sum(dim=0)

    def difference(self) -> Difference:
        """The difference over all blocks."""
        return Difference(
            weights=self.weights,
            changed=self.weights - int(self.sizes[0]),
            total=self.total,
            squares=self.squares,
            reference=self.reference,
            largest=self.largest,
            sizes=from_sketch(self.sizes),
        )
