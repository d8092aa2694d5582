"""Sets of single weights, bit-packed: one region, or disjoint masks of several groups.

A weight takes one bit a set. Tensors are unpacked one at a time, and a file of group masks is read
one tensor at a time, so that the masks of a 7B model never stand in memory as anything but bits.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from lacuna.artifacts import digest
from lacuna.errors import UserError
from lacuna.model.value import Layout
from lacuna.region import bits as packed
from lacuna.region.base import Region
from lacuna.tensors import save_tensors

Shapes = Mapping[str, tuple[int, ...]]
"""Parameter name -> shape, of all weights that a mask may hold ("scored" weights)."""


class Masks:
    """What a region of weights and the masks of groups share: whose weights they are."""

    architecture: str
    shapes: Shapes

    @property
    def fingerprint(self) -> str:
        """16 hex digits of architecture and scored shapes."""
        return fingerprint(self.architecture, self.shapes)

    @property
    def total(self) -> int:
        """Number of scored weights."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def require_fit(self, layout: Layout) -> None:
        """Raise `UserError` unless the model has every scored tensor, in the same shape."""
        if self.architecture != layout.architecture:
            raise UserError(
                f"masks are for {self.architecture}, the model is {layout.architecture}: draw "
                f"masks for this model"
            )
        for name, shape in self.shapes.items():
            if tuple(layout.weights.get(name, ())) != tuple(shape):
                raise UserError(
                    f"masks hold {name} {list(shape)}, the model has "
                    f"{list(layout.weights.get(name, ())) or 'no such weight'}: draw masks for "
                    f"this model"
                )


@dataclass(frozen=True)
class WeightRegion(Masks):
    """Chosen single weights. Set algebra is `|`, `&`, `-` and `complement()`."""

    architecture: str
    shapes: Shapes
    bits: Mapping[str, Tensor]
    """Every name in `shapes` -> uint8 (ceil(numel / 8),), see `lacuna.region.bits`."""
    origin: Mapping[str, str] = field(default_factory=dict)
    """How it was made (seed, share, groups, ...); saved with it."""

    def mask(self, name: str) -> Tensor:
        """Boolean, in the tensor's shape."""
        return packed.unpack(self.bits[name], self._size(name)).reshape(self.shapes[name])

    def indices(self, name: str) -> Tensor:
        """Ascending flat positions of the chosen weights (int64)."""
        return packed.positions(self.bits[name], self._size(name))

    def _size(self, name: str) -> int:
        return math.prod(self.shapes[name])

    def by_tensor(self) -> dict[str, int]:
        """Number of chosen weights of each scored tensor, zeros included."""
        return {name: packed.number(self.bits[name]) for name in self.shapes}

    def __len__(self) -> int:
        return sum(self.by_tensor().values())

    @property
    def fraction(self) -> float:
        """Share of all scored weights."""
        return len(self) / self.total

    def complement(self) -> "WeightRegion":
        """All other scored weights."""
        return self._with({n: packed.invert(self.bits[n], self._size(n)) for n in self.shapes})

    def __or__(self, other: "WeightRegion") -> "WeightRegion":
        return self._combine(other, torch.bitwise_or)

    def __and__(self, other: "WeightRegion") -> "WeightRegion":
        return self._combine(other, torch.bitwise_and)

    def __sub__(self, other: "WeightRegion") -> "WeightRegion":
        return self._combine(other, lambda mine, theirs: mine & ~theirs)

    def _combine(
        self, other: "WeightRegion", operation: Callable[[Tensor, Tensor], Tensor]
    ) -> "WeightRegion":
        if self.fingerprint != other.fingerprint:
            raise UserError(
                f"regions of different weights cannot be combined: {self.architecture} "
                f"({self.fingerprint}) and {other.architecture} ({other.fingerprint})"
            )
        return self._with({n: operation(self.bits[n], other.bits[n]) for n in self.shapes})

    def _with(self, bits: Mapping[str, Tensor]) -> "WeightRegion":
        return WeightRegion(self.architecture, self.shapes, bits)

    def save(self, path: Path) -> None:
        """Write the bits as safetensors; origin, architecture and shapes as metadata."""
        save_tensors(path, dict(self.bits), {**self.origin, **_metadata(self, "weights")})


@dataclass(frozen=True)
class GroupMasks(Masks):
    """Disjoint masks, one a group, over the same tensors."""

    architecture: str
    shapes: Shapes
    bits: Mapping[str, Tensor]
    """Every name in `shapes` -> uint8 (groups, ceil(numel / 8)); read from a file as asked for."""
    groups: int
    origin: Mapping[str, str] = field(default_factory=dict)
    """How they were drawn; saved with them."""

    def indices(self, name: str, group: int) -> Tensor:
        """Ascending flat positions of the group's weights in a tensor (int64)."""
        return packed.positions(self.bits[name][group], math.prod(self.shapes[name]))

    def union(self, groups: Sequence[int]) -> WeightRegion:
        """The region of several groups; raises `UserError` for a group that there is not."""
        for group in groups:
            if not 0 <= group < self.groups:
                raise UserError(f"group {group}: the masks hold groups 0 to {self.groups - 1}")
        bits = {}
        for name in self.shapes:
            tensor = self.bits[name]
            bits[name] = torch.zeros_like(tensor[0])
            for group in groups:
                bits[name] |= tensor[group]
        named = {"groups": ",".join(map(str, groups))}
        return WeightRegion(self.architecture, self.shapes, bits, {**self.origin, **named})

    def save(self, path: Path) -> None:
        """Write the bits of all groups as safetensors, tensor names as keys."""
        metadata = {**self.origin, **_metadata(self, "groups"), "number": str(self.groups)}
        save_tensors(path, dict(self.bits), metadata)


def element_mask(region: Region | WeightRegion, name: str, shape: Sequence[int]) -> Tensor | None:
    """Which weights of parameter `name` a region holds, boolean in its shape.

    A region of value vectors holds whole columns of its modules' weights. None for a tensor that
    the region could not hold any weight of. Raises `UserError` where the shapes differ.
    """
    module = name.removesuffix(".weight")
    if isinstance(region, WeightRegion):
        held = region.shapes.get(name)
    else:
        held = region.layout.shapes.get(module)
    if held is None:
        return None
    if tuple(held) != tuple(shape):
        raise UserError(f"the region holds {name} {list(held)}, the checkpoint {list(shape)}")
    if isinstance(region, WeightRegion):
        return region.mask(name)
    chosen = torch.zeros(held, dtype=torch.bool)
    chosen[:, region.columns.get(module, torch.empty(0, dtype=torch.int64))] = True
    return chosen


def fingerprint(architecture: str, shapes: Shapes) -> str:
    """16 hex digits of an architecture and the shapes of some of its weights."""
    return digest([architecture, [[name, *shape] for name, shape in sorted(shapes.items())]])[:16]


_SAVED = {"kind", "architecture", "fingerprint", "shapes", "number"}


def _metadata(masks: Masks, kind: str) -> dict[str, str]:
    shapes = ";".join(f"{n}:{'x'.join(map(str, s))}" for n, s in masks.shapes.items())
    return {
        "kind": kind,
        "architecture": masks.architecture,
        "fingerprint": masks.fingerprint,
        "shapes": shapes,
    }


class _Stored(Mapping[str, Tensor]):
    """The tensors of a safetensors file, each read when it is asked for."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.path, self.names = path, names

    def __getitem__(self, name: str) -> Tensor:
        with safe_open(self.path, framework="pt") as stream:
            tensor: Tensor = stream.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def read_masks(path: Path, metadata: Mapping[str, str]) -> WeightRegion | GroupMasks:
    """A file of this kind, its tensors read later; raises `UserError` where it is damaged."""
    if missing := _SAVED - {"number"} - metadata.keys():
        raise UserError(f"{path} is not a mask file: it lacks {', '.join(sorted(missing))}")
    shapes = {}
    for entry in metadata["shapes"].split(";"):
        name, _, text = entry.rpartition(":")
        sizes = text.split("x")
        if not name or not all(size.isdecimal() and len(size) < 12 for size in sizes):
            raise UserError(f"{path}: {entry[:80]!r} is no name with sizes: write it anew")
        shapes[name] = tuple(map(int, sizes))
    if fingerprint(metadata["architecture"], shapes) != metadata["fingerprint"]:
        raise UserError(f"{path}: shapes and fingerprint differ, the file was altered: write anew")
    groups = _number(path, metadata) if metadata["kind"] == "groups" else None
    stored = _Stored(path, list(shapes))
    _check_bits(path, stored, shapes, groups)
    origin = {key: value for key, value in metadata.items() if key not in _SAVED}
    if groups is None:
        held = {name: stored[name] for name in shapes}
        return WeightRegion(metadata["architecture"], shapes, held, origin)
    return GroupMasks(metadata["architecture"], shapes, stored, groups, origin)


def _number(path: Path, metadata: Mapping[str, str]) -> int:
    said = metadata.get("number", "")
    if not said.isdecimal() or not 0 < int(said[:4]) <= 1000:
        raise UserError(f"{path}: number of groups {said[:20]!r}: from 1 to 1000, write it anew")
    return int(said)


def _check_bits(path: Path, stored: _Stored, shapes: Shapes, groups: int | None) -> None:
    with safe_open(path, framework="pt") as stream:
        held = set(stream.keys())
    if held != set(shapes):
        odd = sorted(held ^ set(shapes))[0]
        raise UserError(f"{path}: tensor {odd!r} is in the file or in its list, not in both")
    for name, shape in shapes.items():
        count = math.prod(shape)
        wanted = (() if groups is None else (groups,)) + (packed.width(count),)
        tensor = stored[name]
        if tuple(tensor.shape) != wanted or tensor.dtype != torch.uint8:
            raise UserError(f"{path}: {name} must be uint8 {list(wanted)}")
        if not torch.equal(packed.invert(packed.invert(tensor, count), count), tensor):
            raise UserError(f"{path}: {name} has bits beyond its {count} weights")
        if groups is not None and groups_overlap(tensor):
            raise UserError(f"{path}: the masks of two groups share weights of {name}")


def groups_overlap(tensor: Tensor) -> bool:
    """Whether two rows of packed bits (groups, bytes) share a bit."""
    taken = torch.zeros_like(tensor[0])
    for group in tensor:
        if bool((taken & group).any()):
            return True
        taken |= group
    return False
