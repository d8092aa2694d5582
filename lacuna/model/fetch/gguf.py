"""Weights in a GGUF file, as llama.cpp quantizes them, into a folder in hub layout."""

import importlib.util
import io
from contextlib import redirect_stderr
from pathlib import Path

import torch

from lacuna.errors import UserError
from lacuna.model.architecture import UNREADABLE, quiet


def require_package() -> None:
    """Raises `UserError` where the package that reads GGUF files is missing."""
    if importlib.util.find_spec("gguf") is None:
        raise UserError(
            "the package gguf is missing, which reads quantized weights: `./reproduce.sh setup` "
            "installs it, or pip install 'lacuna-testbed[gguf]'"
        )


def require_architecture(file: Path, architecture: str) -> None:
    """Raises `UserError` unless the file is GGUF and says that it holds this architecture."""
    from gguf import GGUFReader

    if not file.is_file():
        raise UserError(f"{file}: no such file")
    try:
        field = GGUFReader(file).get_field("general.architecture")
        found = None if field is None else field.contents()
    except (*UNREADABLE, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{file} is no whole GGUF file ({reason}): download it again") from error
    if found != architecture:
        raise UserError(f"{file} holds a model of architecture {found}, not {architecture}")


def convert(file: Path, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write configuration, tokenizer and weights, dequantized and rounded to `dtype`.

    Raises `UserError` where they cannot be read. Takes four times the memory of float32 weights.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    place, name = str(file.parent), file.name
    try:
        with quiet(), redirect_stderr(io.StringIO()):  # a progress bar of the reader's own
            tokenizer = AutoTokenizer.from_pretrained(
                place, gguf_file=name, trust_remote_code=False
            )
            config = AutoConfig.from_pretrained(place, gguf_file=name, trust_remote_code=False)
            read = AutoModelForCausalLM.from_pretrained(
                place, gguf_file=name, dtype=torch.float32, trust_remote_code=False
            )
            config.dtype = dtype
            # What comes from GGUF counts as quantized and is not saved: into a plain model with it.
            plain = AutoModelForCausalLM.from_config(config, dtype=dtype)
            plain.load_state_dict(read.state_dict())
            plain.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk, not the file
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file} cannot be converted ({reason})") from error
