"""Checkpoints in hub layout, read from safetensors a piece of a tensor at a time.

Tensors go by the names of the architecture's parameters, however the files store them: with or
without a prefix, experts one by one or together, transposed, tied ones twice. Only headers are
held. A file is mapped anew for every few blocks of a tensor and let go before the next: pages of a
mapping count as memory of the process for as long as it lives.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from lacuna.errors import UserError
from lacuna.model.architecture import Place, architecture
from lacuna.model.files import FLOATS, read_config
from lacuna.model.preflight import not_finite, stored_weights
from lacuna.model.value import Layout, layout

BLOCK = 2**18
"""Weights in a block, about: what fits the caches of a core."""
PIECE = 16
"""Blocks for which a file is mapped once."""


@dataclass(frozen=True)
class Checkpoint:
    """A folder's tensors by name, in the order of the model: layer 2 before layer 10."""

    folder: Path
    layout: Layout
    """Value vectors and weights, as the loaded model has them; no vectors where `unsupported`."""
    places: Mapping[str, Place]
    """Tensor -> where in its file it lies."""
    files: Mapping[str, Path]
    """Tensor -> the file that holds it."""
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, torch.dtype]
    buffers: Sequence[str]
    """Tensors in the files that are no parameters, but computed by the architecture."""
    unequal_copies: Sequence[str]
    """Tensors in the files that stand for a tied weight and differ from it."""
    unsupported: str | None = None
    """Why its value vectors are not known."""

    @property
    def architecture(self) -> str:
        """Class name."""
        return self.layout.architecture

    @property
    def weights(self) -> int:
        """Number of weights."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def read(self, name: str) -> Tensor:
        """A whole tensor, backed by its file where it is stored as the model has it."""
        place = self.places[name]
        if place == Place(place.key):
            return _read(self.files[name], place.key)
        return self._rows(name, 0, self.shapes[name][0])

    def _rows(self, name: str, start: int, stop: int) -> Tensor:
        """Rows of a tensor of the model from its file."""
        place = self.places[name]
        low = 0 if place.rows is None else place.rows[0]
        with safe_open(self.files[name], framework="pt") as stream:
            stored = stream.get_slice(place.key)
            rows: Tensor
            if place.turned:
                rows = stored[:, start:stop].t().contiguous()
            elif place.expert is None:
                rows = stored[start:stop]
            else:
                rows = stored[place.expert, low + start : low + stop]
        return rows

    def blocks(self, name: str, size: int = BLOCK) -> Iterator[Tensor]:
        """The tensor's rows in order, about `size` weights at a time."""
        shape = self.shapes[name]
        if math.prod(shape) <= size or not shape:
            yield self.read(name)
            return
        rows = max(1, size // math.prod(shape[1:]))
        step = PIECE * rows
        for start in range(0, shape[0], step):
            yield from self._rows(name, start, min(start + step, shape[0])).split(rows)


def open_checkpoint(folder: Path) -> Checkpoint:
    """Headers of the checkpoint in `folder`; of tied weights that are stored twice, the weights.

    Raises `UserError` where the folder, its config.json, a shard or a tensor is missing, a file is
    damaged, weights are pickled or quantized, an adapter lies beside them, or transformers does not
    know the architecture.
    """
    config = read_config(folder)
    named = config.get("architectures")
    if not isinstance(named, list) or not named or not isinstance(named[0], str):
        raise UserError(f"{folder / 'config.json'} names no architecture: add its class name")
    shape = architecture(folder)
    found, headers = stored_weights(folder, folder, shape)
    if found.converted:
        raise UserError(
            f"{folder}: {found.converted[0]} is stored in another form than the model has: load it "
            f"with transformers and save it again"
        )
    unsupported = None
    try:
        known = layout(shape.model)
    except UserError as error:
        unsupported = str(error)
        weights = {name: tuple(w.shape) for name, w in shape.model.named_parameters()}
        known = Layout(type(shape.model).__name__, {}, weights)
    places = {name: found.places[name] for name in sorted(found.places, key=natural)}
    entries = {name: headers[place.key] for name, place in places.items()}
    shapes = shape.shapes
    return Checkpoint(
        folder=folder,
        layout=known,
        places=places,
        files={name: entry.file for name, entry in entries.items()},
        shapes={name: shapes[name] for name in places},
        dtypes={name: FLOATS[entry.stored] for name, entry in entries.items()},
        buffers=sorted(found.buffers, key=natural),
        unequal_copies=[
            key
            for key, name in found.copies.items()
            if not torch.equal(
                _read(headers[key].file, key), _read(entries[name].file, places[name].key)
            )
        ],
        unsupported=unsupported,
    )


def _read(file: Path, key: str) -> Tensor:
    with safe_open(file, framework="pt") as stream:
        tensor: Tensor = stream.get_tensor(key)
    return tensor


def require_alike(first: Checkpoint, *others: Checkpoint) -> None:
    """Raise `UserError` unless all have the same architecture, tensors and shapes."""
    for other in others:
        pair = f"{first.folder} and {other.folder}"
        if first.architecture != other.architecture:
            raise UserError(
                f"{pair} are different models: {first.architecture} and {other.architecture}"
            )
        if odd := sorted(first.shapes.keys() ^ other.shapes.keys(), key=natural):
            holder = first if odd[0] in first.shapes else other
            raise UserError(
                f"{pair} hold different tensors: {len(odd)} are in one only ({odd[0]} in "
                f"{holder.folder}): compare checkpoints of one model"
            )
        for name, shape in first.shapes.items():
            if shape != other.shapes[name]:
                raise UserError(
                    f"{pair} differ in the shape of {name}: {list(shape)} and "
                    f"{list(other.shapes[name])}: compare checkpoints of one model"
                )


def together(checkpoints: Sequence[Checkpoint], name: str) -> Iterator[list[Tensor]]:
    """The same rows of the tensor from each checkpoint, block after block."""
    yield from map(list, zip(*(one.blocks(name) for one in checkpoints), strict=True))


def refuse_non_finite(checkpoints: Sequence[Checkpoint], name: str) -> None:
    """Raise `UserError` for the first checkpoint whose tensor holds NaN or infinity."""
    for one in checkpoints:
        bad = sum(int((~torch.isfinite(block)).sum()) for block in one.blocks(name))
        if bad:
            raise not_finite(one.folder, name, bad)


def natural(name: str) -> list[tuple[int, str]]:
    """Sorting key that counts: `layers.2` before `layers.10`."""
    return [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", name)]


def place(name: str) -> tuple[int | None, str]:
    """(layer, component) of a tensor: (3, "mlp.down_proj"), (None, "lm_head")."""
    parts = name.removesuffix(".weight").removeprefix("model.").split(".")
    layer = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    if layer is None:
        return None, ".".join(parts)
    return int(parts[layer]), ".".join(parts[layer + 1 :])
