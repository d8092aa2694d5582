"""Load and save causal language models: from the hub, a local folder in hub layout, or ours."""

from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from lacuna.data.tokens import Prompt, Tokenizer
from lacuna.errors import UserError
from lacuna.model.value import Layout, layout
from lacuna.tensors import writing

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

    Raises `UserError` if the source is missing, gated, or holds no safetensors.
    """
    if dtype not in DTYPES:
        raise UserError(f"model.dtype={dtype!r}: choose one of {', '.join(DTYPES)}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        model = AutoModelForCausalLM.from_pretrained(
            source,
            revision=revision,
            dtype=DTYPES[dtype],
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError) as error:
        raise _unreadable(source, revision, error) from error
    return LoadedModel(ready(model, device), tokenizer, prompt)


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
    wanted = [
        f"{folder}/{kind}" if folder else kind for kind in ("*.json", "*.safetensors", "*.txt")
    ]
    try:
        root = snapshot_download(
            f"{owner}/{repository}", revision=revision or None, allow_patterns=wanted
        )
    except (OSError, ValueError) as error:
        raise _unreadable(name, revision or None, error) from error
    return Path(root) / folder


def ready(model: PreTrainedModel, device: str = "auto") -> PreTrainedModel:
    """Freeze, switch to eval mode and move to the device."""
    model.requires_grad_(False)
    model.eval()
    model.to(pick_device(device))  # type: ignore[arg-type]
    return model


def save_model(loaded: LoadedModel, folder: Path) -> None:
    """Write weights and tokenizer in hub layout (safetensors)."""
    with writing(folder):
        loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)


def read_layout(source: str | Path, revision: str | None = None) -> Layout:
    """A model's value vectors from its configuration alone: no weight is read or made.

    Raises `UserError` if there is no such model or its MLPs cannot be found.
    """
    try:
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError) as error:
        raise _unreadable(source, revision, error) from error
    return layout(model)


def _unreadable(source: str | Path, revision: str | None, error: Exception) -> UserError:
    reason = str(error).strip().splitlines()[0]
    return UserError(
        f"cannot load model {str(source)!r} (revision {revision}): {reason} - give a hub name you "
        f"may read, or a local folder with config, safetensors and tokenizer"
    )
