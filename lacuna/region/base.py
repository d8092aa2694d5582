"""A region: a set of value vectors of one architecture."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from lacuna.errors import UserError
from lacuna.model.value import Layout
from lacuna.tensors import load_tensors, save_tensors


@dataclass(frozen=True)
class Region:
    """Chosen columns per MLP output matrix. Set algebra is `|`, `&`, `-` and `complement()`."""

    layout: Layout
    columns: Mapping[str, Tensor]
    """Module name -> sorted, distinct column indices (int64); modules without any are absent."""
    origin: Mapping[str, str] = field(default_factory=dict)
    """How it was made (seed, ratio, localizer, ...); saved with it."""

    @classmethod
    def from_flat(
        cls, layout: Layout, flat: Tensor, origin: Mapping[str, str] | None = None
    ) -> "Region":
        """From a boolean vector over all value vectors, module after module in layout order."""
        widths = [width for _, width in layout.shapes.values()]
        parts = zip(layout.shapes, flat.split(widths), strict=True)
        columns = {name: part.nonzero()[:, 0] for name, part in parts if part.any()}
        return cls(layout, columns, dict(origin or {}))

    def by_module(self) -> dict[str, Tensor]:
        """Module name -> (d_ff,) boolean, which of its value vectors are chosen."""
        masks = {}
        for name, (_, width) in self.layout.shapes.items():
            masks[name] = torch.zeros(width, dtype=torch.bool)
            if name in self.columns:
                masks[name][self.columns[name]] = True
        return masks

    def flat(self) -> Tensor:
        """The boolean vector over all value vectors."""
        return torch.cat(list(self.by_module().values()))

    def __len__(self) -> int:
        return sum(len(columns) for columns in self.columns.values())

    @property
    def fraction(self) -> float:
        """Share of all value vectors."""
        return len(self) / self.layout.total

    def by_layer(self) -> dict[str, int]:
        """Number of vectors in each module, zeros included."""
        return {name: len(self.columns.get(name, ())) for name in self.layout.shapes}

    def complement(self) -> "Region":
        """All other value vectors."""
        return Region.from_flat(self.layout, ~self.flat())

    def __or__(self, other: "Region") -> "Region":
        return Region.from_flat(self.layout, self.flat() | self._fitting(other))

    def __and__(self, other: "Region") -> "Region":
        return Region.from_flat(self.layout, self.flat() & self._fitting(other))

    def __sub__(self, other: "Region") -> "Region":
        return Region.from_flat(self.layout, self.flat() & ~self._fitting(other))

    def _fitting(self, other: "Region") -> Tensor:
        other.require_fit(self.layout)
        return other.flat()

    def require_fit(self, layout: Layout) -> None:
        """Raise `UserError` unless the region was made for this architecture and shape."""
        if self.layout.fingerprint != layout.fingerprint:
            raise UserError(
                f"region is for {self.layout.architecture} with {self.layout.total} value vectors "
                f"(fingerprint {self.layout.fingerprint}), the model is {layout.architecture} with "
                f"{layout.total} ({layout.fingerprint}): draw a region for this model"
            )

    def save(self, path: Path) -> None:
        """Write columns as safetensors, origin and fingerprint as metadata."""
        metadata = {
            **self.origin,
            "architecture": self.layout.architecture,
            "fingerprint": self.layout.fingerprint,
            "fraction": repr(self.fraction),
            "shapes": ";".join(f"{n}:{h}:{w}" for n, (h, w) in self.layout.shapes.items()),
        }
        save_tensors(path, dict(self.columns), metadata)


_SAVED = {"architecture", "fingerprint", "fraction", "shapes"}


def load_vectors(path: Path, layout: Layout | None = None) -> Region:
    """Read a saved region of value vectors; with `layout`, refuse one made for another model.

    Raises `UserError` where the file is missing, damaged, or names columns that cannot be.
    """
    columns, metadata = load_tensors(path)
    if missing := _SAVED - metadata.keys():
        raise UserError(f"{path} is not a region file: it lacks {', '.join(sorted(missing))}")
    made = Layout(metadata["architecture"], _shapes(path, metadata["shapes"]))
    if made.fingerprint != metadata["fingerprint"]:
        raise UserError(f"{path}: shapes and fingerprint differ, the file was altered: write anew")
    if not columns:
        raise UserError(f"{path} holds no value vector: draw a region")
    for name, chosen in columns.items():
        end = made.shapes.get(name, (0, 0))[1]
        if chosen.dtype != torch.int64 or chosen.ndim != 1 or not len(chosen):
            raise UserError(
                f"{path}: columns of {name!r} are {chosen.dtype} {list(chosen.shape)}: they must "
                f"be one or more whole numbers (int64) in a row"
            )
        if not (chosen.diff() > 0).all() or not ((chosen >= 0) & (chosen < end)).all():
            raise UserError(f"{path}: columns of {name!r} must ascend from 0 to below {end}")
    origin = {key: value for key, value in metadata.items() if key not in _SAVED}
    region = Region(made, columns, origin)
    if layout is not None:
        region.require_fit(layout)
    return region


def _shapes(path: Path, text: str) -> dict[str, tuple[int, int]]:
    """Module name -> (height, width), as `Region.save` writes them."""
    shapes = {}
    for entry in text.split(";"):
        name, *sizes = entry.split(":")
        if len(sizes) != 2 or not all(size.isdecimal() and len(size) < 12 for size in sizes):
            raise UserError(f"{path}: {entry[:80]!r} is no name with two sizes: write it anew")
        shapes[name] = (int(sizes[0]), int(sizes[1]))
    return shapes
