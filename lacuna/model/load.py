"""Load and save causal language models: from the hub, a local folder in hub layout, or ours."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download

from lacuna.data.tokens import Prompt, Tokenizer
from lacuna.errors import UserError
from lacuna.model.architecture import (
    UNREADABLE,
    Architecture,
    architecture,
    outline,
    quiet,
    require_whole,
    unreadable,
)
from lacuna.model.files import Entry, read_headers
from lacuna.model.plain import hub_state, plain
from lacuna.model.preflight import not_finite, read_tokenizer, require_usable, stored_weights
from lacuna.model.value import Layout, layout
from lacuna.model_types import PreTrainedModel
from lacuna.tensors import writing

__all__ = ["DTYPES", "LoadedModel", "load_model", "outline", "read_layout", "save_model"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


@dataclass
class LoadedModel:
    """A model in eval mode with its tokenizer and the way it is asked."""

    model: PreTrainedModel
    tokenizer: Tokenizer
    prompt: Prompt

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.model.device

    @property
    def end_token(self) -> int | None:
        """What closes an answer that is asked this way."""
        return self.prompt.end(self.tokenizer)

    @property
    def stops(self) -> list[int]:
        """Tokens at which an answer is over: that one, the tokenizer's, and what the model's own
        generation configuration names."""
        named = getattr(self.model.generation_config, "eos_token_id", None)
        listed = named if isinstance(named, list) else [named]
        ends = {self.end_token, self.tokenizer.eos_token_id, *listed}
        return sorted(token for token in ends if token is not None)


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is the first GPU if there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def load_model(
    source: str | Path,
    *,
    prompt: Prompt,
    revision: str | None = None,
    dtype: str = "float32",
    device: str = "auto",
    attention: str = "sdpa",
) -> LoadedModel:
    """Read weights (safetensors only) and tokenizer from a hub name or a folder in hub layout.

    Raises `UserError` if the source is missing, gated or holds no safetensors, lacks a weight, has
    one that is no number or that the architecture has no place for, or does not suit its tokenizer.
    """
    from transformers import AutoModelForCausalLM

    if dtype not in DTYPES:
        raise UserError(f"model.dtype={dtype!r}: choose one of {', '.join(DTYPES)}")
    shape = architecture(source, revision, attention)
    if Path(source).is_dir():
        stored_weights(source, Path(source), shape)
    tokenizer = read_tokenizer(source, revision)
    require_usable(source, shape.model, tokenizer)
    try:
        with quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source,
                revision=revision,
                dtype=DTYPES[dtype],
                attn_implementation=None if attention == "auto" else attention,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except UNREADABLE as error:
        raise unreadable(source, revision, error) from error
    model, report = loaded
    _require_loaded(source, shape, model, report)
    return LoadedModel(ready(model, device), tokenizer, prompt)


def _require_loaded(
    source: str | Path, shape: Architecture, model: PreTrainedModel, report: Mapping[str, Any]
) -> None:
    """Raise `UserError` where the library filled a gap, or a weight is not finite."""
    if getattr(model, "_hf_peft_config_loaded", False):
        raise UserError(f"{source} holds an adapter beside the model: give the merged model alone")
    unexpected = {name: Entry(Path(name), (), "F32") for name in report["unexpected_keys"]}
    if loose := sorted(shape.tied.keys() - getattr(model, "all_tied_weights_keys", {}).keys()):
        raise UserError(
            f"{source}: config.json ties {loose[0]} to {shape.tied[loose[0]]}, and the files hold "
            f"different ones: remove the copy, or set tie_word_embeddings to false"
        )
    found = shape.locate(unexpected)
    found.missing = sorted(report["missing_keys"])
    found.misshapen = [f"{n} {list(a)}, not {list(b)}" for n, a, b in report["mismatched_keys"]]
    require_whole(source, found, type(model).__name__)
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise not_finite(source, name, int((~torch.isfinite(weight)).sum()))


def local_checkpoint(name: str) -> Path:
    """The folder of a checkpoint: a local one, or `hub:NAME[/SUBFOLDER][@REVISION]`.

    Of a repository on the hub only configuration, tokenizer and safetensors are fetched. Raises
    `UserError` where there is no such folder or repository.
    """
    if not name.startswith("hub:"):
        if not Path(name).is_dir():
            raise UserError(f"checkpoint={name}: no such folder; of the hub, write hub:{name}")
        return Path(name)
    place, _, revision = name.removeprefix("hub:").partition("@")
    owner, repository, *inner = place.split("/") if "/" in place else ("", "")
    folder = "/".join(inner)
    if ".." in inner:
        raise UserError(f"checkpoint={name}: a folder inside the repository, without '..'")
    kinds = ("*.json", "*.safetensors", "*.txt", "*.jinja", "*.model")
    wanted = [f"{folder}/{kind}" if folder else kind for kind in kinds]
    try:
        root = snapshot_download(
            f"{owner}/{repository}", revision=revision or None, allow_patterns=wanted
        )
    except (OSError, ValueError) as error:
        raise unreadable(name, revision or None, error) from error
    return Path(root) / folder


def ready(model: PreTrainedModel, device: str = "auto") -> PreTrainedModel:
    """Bring into plain form, freeze, switch to eval mode and move to the device."""
    plain(model)
    model.requires_grad_(False)
    model.eval()
    model.to(pick_device(device))  # type: ignore[arg-type]
    return model


def save_model(loaded: LoadedModel, folder: Path) -> None:
    """Write weights and tokenizer in hub layout (safetensors), under transformers' names.

    Raises `RuntimeError` where what was written is not the whole model.
    """
    state = hub_state(loaded.model)
    held = sum({one.data_ptr(): one.numel() for one in state.values()}.values())  # tied ones once
    with writing(folder), quiet():
        loaded.model.save_pretrained(folder, state_dict=state)
    loaded.tokenizer.save_pretrained(folder)
    written = sum(math.prod(entry.shape) for entry in read_headers(folder).values())
    if written != held:
        raise RuntimeError(f"{folder}: {written} of the model's {held} weights were written")


def read_layout(source: str | Path, revision: str | None = None) -> Layout:
    """A model's value vectors from its configuration alone: no weight is read or made.

    Raises `UserError` if there is no such model or its MLPs cannot be found.
    """
    return layout(outline(source, revision))
