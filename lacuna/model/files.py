"""The files of a checkpoint in hub layout: which hold weights, what their headers say, and which
others decide what the model is asked and says. Only headers are read here.

Whatever an index says, no file outside the folder is opened; pickles are never read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from lacuna.artifacts import digest, file_digest, read_json
from lacuna.errors import UserError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
TEXTS = ("*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken", "*.py", "chat_templates/*.jinja")
"""Configuration, templates, vocabularies: what a loader reads besides weights."""
_PROSE = ("README", "LICENSE", "LICENCE", "NOTICE", "USAGE", "requirements")
FLOATS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
"""Types of stored weights that are numbers as training left them."""


@dataclass(frozen=True)
class Entry:
    """A tensor as its file's header has it."""

    file: Path
    shape: tuple[int, ...]
    stored: str
    """Type in the terms of safetensors: F32, BF16, BOOL, ..."""


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's config.json.

    Raises `UserError` where the folder or the file is missing, is no JSON object, or says that the
    weights are quantized or the folder is an adapter's.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give a checkpoint in hub layout")
    if (folder / ADAPTER).exists():
        raise UserError(
            f"{folder} holds an adapter ({ADAPTER}): merge it and save the whole model, or, where "
            f"it is merged already, remove {ADAPTER} and adapter_model.safetensors"
        )
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} has no config.json: give a checkpoint in hub layout")
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise UserError(f"{folder / 'config.json'} is not a JSON object: download it again")
    refuse_quantized(str(folder), config)
    return config


def refuse_quantized(source: str, config: Mapping[str, Any]) -> None:
    """Raise `UserError` where a configuration, or that of its text part, says so."""
    for part in (config, config.get("text_config")):
        found = part.get("quantization_config") if isinstance(part, Mapping) else None
        if found is not None:
            method = found.get("quant_method") if isinstance(found, Mapping) else found
            raise UserError(
                f"{source} is stored quantized ({method}): give the checkpoint before its "
                f"quantization; rounding is an attack (attack.bits)"
            )


def bare(folder: Path) -> bool:
    """Whether there is a config.json and nothing else, which tells a model's size and no more."""
    return [file.name for file in folder.iterdir()] == ["config.json"]


def read_headers(folder: Path) -> dict[str, Entry]:
    """Every tensor of the checkpoint by its name in the files.

    Raises `UserError` where a shard or a tensor is missing, a file is damaged, an index leaves the
    folder, or weights are pickled.
    """
    listed = _listed(folder)
    headers = {path: _header(path) for path in dict.fromkeys(listed.values())}
    held = {name: entry for header in headers.values() for name, entry in header.items()}
    for name, path in listed.items():
        if name not in headers[path]:
            raise UserError(f"{path} lacks tensor {name!r}, which {INDEX} says it holds")
    return held


def _listed(folder: Path) -> dict[str, Path]:
    """Tensor -> file by the index, or of the single file."""
    if (folder / INDEX).is_file():
        return _indexed(folder)
    if (folder / SINGLE).is_file():
        return {name: folder / SINGLE for name in _header(folder / SINGLE)}
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


def _indexed(folder: Path) -> dict[str, Path]:
    index = read_json(folder / INDEX)
    entries = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise UserError(f"{folder / INDEX} has no weight_map: download it again")
    for name, file in entries.items():
        plain = isinstance(file, str) and len(file) < 256 and file.isprintable()
        if not plain or file in ("", ".", "..") or "/" in file or "\\" in file:
            raise UserError(
                f"{folder / INDEX}: {name[:80]!r} is said to lie in {_short(file)}: a shard is a "
                f"file in the same folder, download the checkpoint again"
            )
    files = set(entries.values())
    if missing := sorted(file for file in files if not (folder / file).is_file()):
        raise UserError(
            f"{folder} lacks {len(missing)} of {len(files)} shards ({missing[0]}, ...): download "
            f"them"
        )
    return {name: folder / file for name, file in entries.items()}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _header(path: Path) -> dict[str, Entry]:
    try:
        with safe_open(path, framework="pt") as stream:
            found = {}
            for name in stream.keys():  # noqa: SIM118
                part = stream.get_slice(name)
                found[name] = Entry(path, tuple(part.get_shape()), part.get_dtype())
            return found
    except SafetensorError as error:
        raise UserError(f"{path} is not a whole safetensors file ({error}): get it anew") from error


def text_files(folder: Path) -> dict[str, Path]:
    """Files besides the weights that decide what a model is asked and says, by name; no prose."""
    found = {
        str(file.relative_to(folder)): file
        for pattern in TEXTS
        for file in folder.glob(pattern)
        if file.is_file() and not file.name.startswith(_PROSE)
    }
    return dict(sorted(found.items()))


def model_identity(folder: Path) -> str:
    """What stands for a checkpoint in keys: a digest of every file that a loader reads, by name.

    Equal for equal files wherever they lie; reads all bytes. Raises `UserError` where a shard is
    missing or damaged.
    """
    held = (folder / SINGLE).is_file() or (folder / INDEX).is_file()
    headers = read_headers(folder) if held else {}
    files = {**text_files(folder), **{entry.file.name: entry.file for entry in headers.values()}}
    return "folder:" + digest({name: file_digest(file) for name, file in files.items()})
