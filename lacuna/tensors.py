"""Tensors in files: safetensors only, the same bytes for the same content, and a full disk is an
`OSError`."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from lacuna.artifacts import share
from lacuna.errors import UserError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What safetensors writes to a file or folder is as shared as the caller's other files, and
    what it says of a full disk is the `OSError` that it is."""
    try:
        yield
        if path.is_dir():  # of a model's folder the weights alone: other files may be anybody's
            share(path, path.glob("*.safetensors"))
        else:
            share(path.parent, [path])
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written: {error}") from error


def save_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as safetensors with string metadata."""
    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    with writing(path):
        save_file(plain, path, metadata=dict(metadata or {}))
    _sort_metadata(path)


def _sort_metadata(path: Path) -> None:
    """The library writes metadata in an order that differs from process to process."""
    with path.open("r+b") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= size, f"{path}: a header of another form"
        stream.seek(8)
        stream.write(text.ljust(size))


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read a safetensors file: its tensors on the CPU, and its metadata.

    Raises `UserError` where there is no such file or it is damaged.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt") as stream:
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
            return tensors, stream.metadata() or {}
    except SafetensorError as error:
        raise UserError(
            f"{path} is not a whole safetensors file ({error}): write it anew"
        ) from error
