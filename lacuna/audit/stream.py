"""Checkpoints in hub layout, read from safetensors a piece of a tensor at a time.

Only headers are held. A file is mapped anew for every few blocks of a tensor and let go before the
next: pages of a mapping count as memory of the process for as long as it lives.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lacuna.artifacts import read_json
from lacuna.errors import UserError
from lacuna.model.value import OUTPUT_NAMES, Layout

BLOCK = 2**18
"""Weights in a block, about: what fits the caches of a core."""
PIECE = 16
"""Blocks for which a file is mapped once."""
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True)
class Checkpoint:
    """A folder's tensors by name, in the order of the model: layer 2 before layer 10."""

    folder: Path
    architecture: str
    """Class name, as the folder's config.json has it."""
    files: Mapping[str, Path]
    """Tensor -> the file that holds it."""
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, torch.dtype]

    @property
    def weights(self) -> int:
        """Number of weights."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def layout(self) -> Layout:
        """Its value vectors and weights, as the loaded model would give them."""
        outputs = {
            name.removesuffix(".weight"): (shape[0], shape[1])
            for name, shape in self.shapes.items()
            if len(shape) == 2 and name.split(".")[-2:][0] in OUTPUT_NAMES
        }
        return Layout(self.architecture, outputs, dict(self.shapes))

    def read(self, name: str) -> Tensor:
        """A whole tensor as it is stored, backed by its file."""
        with safe_open(self.files[name], framework="pt") as stream:
            tensor: Tensor = stream.get_tensor(name)
        return tensor

    def blocks(self, name: str, size: int = BLOCK) -> Iterator[Tensor]:
        """The tensor's rows in order, about `size` weights at a time."""
        shape = self.shapes[name]
        if math.prod(shape) <= size or not shape:
            yield self.read(name)
            return
        rows = max(1, size // math.prod(shape[1:]))
        step = PIECE * rows
        for start in range(0, shape[0], step):
            with safe_open(self.files[name], framework="pt") as stream:
                piece: Tensor = stream.get_slice(name)[start : start + step]
            yield from piece.split(rows)


def open_checkpoint(folder: Path) -> Checkpoint:
    """Headers of the checkpoint in `folder`; no weight is read.

    Raises `UserError` where the folder, its config.json, a shard or a tensor is missing, a file is
    damaged, weights are pickled, or not floating-point numbers.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give a checkpoint in hub layout")
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} has no config.json: give a checkpoint in hub layout")
    config = read_json(folder / "config.json")
    named = config.get("architectures") if isinstance(config, dict) else None
    if not isinstance(named, list) or not named or not isinstance(named[0], str):
        raise UserError(f"{folder / 'config.json'} names no architecture: add its class name")
    listed = _listed(folder)
    headers = [_header(path) for path in dict.fromkeys(listed.values())]
    held = {name: (path, *entry) for path, header in headers for name, entry in header.items()}
    for name, path in listed.items():
        if name not in held:
            raise UserError(f"{path} lacks tensor {name!r}, which {INDEX} says it holds")
    files = {name: held[name][0] for name in sorted(held, key=natural)}
    return Checkpoint(
        folder=folder,
        architecture=named[0],
        files=files,
        shapes={name: held[name][1] for name in files},
        dtypes={name: held[name][2] for name in files},
    )


def _listed(folder: Path) -> dict[str, Path]:
    """Tensor -> file by the index; of a single file, only the file (under an empty name)."""
    if (folder / INDEX).is_file():
        index = read_json(folder / INDEX)
        entries = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(entries, dict) or not entries:
            raise UserError(f"{folder / INDEX} has no weight_map: download it again")
        missing = sorted({file for file in entries.values() if not (folder / file).is_file()})
        if missing:
            raise UserError(
                f"{folder} lacks {len(missing)} of {len(set(entries.values()))} shards "
                f"({missing[0]}, ...): download them"
            )
        return {name: folder / file for name, file in entries.items()}
    if (folder / SINGLE).is_file():
        return {name: folder / SINGLE for name in _header(folder / SINGLE)[1]}
    if pickled := sorted(file.name for pattern in PICKLES for file in folder.glob(pattern)):
        raise UserError(
            f"{folder} holds only pickled weights ({pickled[0]}), which can run code when read: "
            f"convert them where you trust them, with from_pretrained(...).save_pretrained(DIR)"
        )
    seen = sorted(file.name for file in folder.glob("*.safetensors"))
    raise UserError(
        f"{folder} has no {SINGLE} and no {INDEX} (saw {', '.join(seen[:3]) or 'no weights'}): "
        f"give a whole model (merge an adapter first)"
    )


Header = dict[str, tuple[tuple[int, ...], torch.dtype]]
_TORCH = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}


def _header(path: Path) -> tuple[Path, Header]:
    found: Header = {}
    try:
        with safe_open(path, framework="pt") as stream:
            for name in stream.keys():  # noqa: SIM118
                part = stream.get_slice(name)
                if part.get_dtype() not in _TORCH:
                    raise UserError(
                        f"{path}: {name} is stored as {part.get_dtype()}: an audit compares "
                        f"floating-point weights, give the checkpoint before its quantization"
                    )
                found[name] = tuple(part.get_shape()), _TORCH[part.get_dtype()]
    except SafetensorError as error:
        raise UserError(f"{path} is not a whole safetensors file ({error}): get it anew") from error
    return path, found


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
            raise UserError(
                f"{one.folder}: {name} has {bad} weights that are NaN or infinite: the training "
                f"that wrote it diverged, give an earlier checkpoint"
            )


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
