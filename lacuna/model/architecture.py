"""A model known by its configuration alone: on the meta device, no weight is read or made.

And which of its parameters the tensors of a checkpoint's files are: names in files differ from
names in the model (prefixes, experts one by one, tied copies, buffers of older releases).
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    StrictDataclassError,
)
from torch import nn

from lacuna.errors import UserError
from lacuna.model.files import Entry, read_config, refuse_quantized
from lacuna.model.plain import Experts, Turned, plain
from lacuna.model_types import PreTrainedModel

if TYPE_CHECKING:
    from transformers import PretrainedConfig
    from transformers.core_model_loading import WeightConverter, WeightRenaming

UNREADABLE = (
    OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, ImportError,
    RuntimeError, ArithmeticError, AssertionError, StrictDataclassError,
)  # fmt: skip
"""What libraries raise for a configuration or a tokenizer that makes no sense."""
ATTENTION = ("auto", "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
"""What transformers has, `auto` what it prefers; other names are of code from the hub."""
_BOUNDS = {
    "num_hidden_layers": 2000, "n_layer": 2000, "num_layers": 2000, "n_layers": 2000,
    "vocab_size": 10**7, "hidden_size": 10**6, "n_embd": 10**6, "intermediate_size": 10**7,
    "num_attention_heads": 10**5, "num_key_value_heads": 10**5, "n_head": 10**5,
    "num_experts": 10**4, "num_local_experts": 10**4, "n_routed_experts": 10**4,
    "max_position_embeddings": 10**9, "n_positions": 10**9,
}  # fmt: skip
"""Sizes in a configuration, and what no model comes near."""
_BUFFER = re.compile(
    r"(inv_freq|masked_bias|position_ids|freqs_cis|cos_cached|sin_cached)$|\batt(n|ention)\.bias$"
)
"""Names of tensors that are computed, not trained, and that files of older releases hold."""


def hush() -> None:
    """No news of the libraries that load models, in this process: they would bury our one line."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # it may not be imported yet
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed warns of a missing GPU
    for library in ("huggingface_hub", "transformers"):
        logging.getLogger(library).setLevel(logging.ERROR)


@contextmanager
def quiet(level: int = logging.ERROR) -> Iterator[None]:
    """Within the block transformers prints no progress, and no warnings: we check those."""
    from transformers.utils.logging import (
        disable_progress_bar,
        enable_progress_bar,
        is_progress_bar_enabled,
    )

    logger = logging.getLogger("transformers")
    before, bars = logger.level, is_progress_bar_enabled()
    logger.setLevel(level)
    disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(before)
        if bars:
            enable_progress_bar()


def outline(
    source: str | Path, revision: str | None = None, attention: str = "auto"
) -> PreTrainedModel:
    """The model without weights, on the meta device.

    Raises `UserError` if there is none, its configuration makes no sense, or it is quantized, an
    adapter, or made by code of its own.
    """
    return architecture(source, revision, attention).model


def architecture(
    source: str | Path, revision: str | None = None, attention: str = "auto"
) -> "Architecture":
    """The outline and the names of its tensors; raises `UserError` like `outline`."""
    from transformers import AutoConfig, AutoModelForCausalLM

    if attention not in ATTENTION:
        raise UserError(f"model.attention={attention}: choose one of {', '.join(ATTENTION)}")
    told = read_config(Path(source)) if Path(source).is_dir() else None
    if told is not None:
        _refuse_foreign(source, told)
    try:
        with quiet():
            config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
            if told is None:
                refuse_quantized(str(source), config.to_dict())
                _refuse_foreign(source, config.to_dict())
            with torch.device("meta"):
                model: PreTrainedModel = AutoModelForCausalLM.from_config(
                    config,
                    attn_implementation=None if attention == "auto" else attention,
                    trust_remote_code=False,
                )
    except UNREADABLE as error:
        if attention != "auto" and re.search("attention|flash", str(error)):
            raise UserError(
                f"{source}: the form of attention model.attention={attention} is not at hand for "
                f"this architecture: set model.attention=eager"
            ) from error
        raise unreadable(source, revision, error) from error
    return Architecture.of(model)


def _refuse_foreign(source: str | Path, told: Mapping[str, Any]) -> None:
    """Refuse what would run code of the checkpoint's own, and sizes that no model has."""
    from transformers import CONFIG_MAPPING

    kind, own = told.get("model_type"), told.get("auto_map")
    if own and (not isinstance(kind, str) or kind not in CONFIG_MAPPING):
        raise UserError(
            f"{source} wants code of its own (model_type {kind!r}, auto_map), which never runs "
            f"here: give a model that transformers knows by itself"
        )
    for part in (told, told.get("text_config")):
        for key, value in part.items() if isinstance(part, Mapping) else ():
            named = key.endswith("_implementation") and isinstance(value, str)
            if named and value not in ATTENTION and not value.isidentifier():
                raise UserError(
                    f"{source}: config.json asks for code from elsewhere, {key}={value}"
                )
            if key in _BOUNDS and value is not None:
                _check_size(source, key, value)


def _check_size(source: str | Path, key: str, value: Any) -> None:
    sizes = value if isinstance(value, list) else [value]
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= _BOUNDS[key]:
            raise UserError(
                f"{source}: config.json has {key}={str(value)[:60]!r}, which is no size of a model "
                f"(a whole number from 1 to {_BOUNDS[key]}): download it again"
            )


@dataclass(frozen=True)
class Place:
    """Where a parameter lies in the files: a tensor, or a part of it."""

    key: str
    """The tensor's name in the file."""
    expert: int | None = None
    """Which row of its first dimension, where it holds all experts."""
    rows: tuple[int, int] | None = None
    """Which rows of that."""
    turned: bool = False
    """Whether it is stored transposed."""


@dataclass
class Located:
    """What the tensors of some files are to an architecture."""

    places: dict[str, Place] = field(default_factory=dict)
    """Parameter (or stored buffer) -> where it lies."""
    copies: dict[str, str] = field(default_factory=dict)
    """Tensor in the files that is a tied copy -> the parameter it copies."""
    buffers: list[str] = field(default_factory=list)
    """Tensors that the architecture computes by itself."""
    foreign: list[str] = field(default_factory=list)
    """Tensors that it has no place for."""
    missing: list[str] = field(default_factory=list)
    """Parameters that no file holds."""
    misshapen: list[str] = field(default_factory=list)
    """Parameters of another shape in the files, with both shapes."""
    converted: list[str] = field(default_factory=list)
    """Parameters that transformers computes from what the files hold."""


@dataclass(frozen=True)
class Architecture:
    """An outline and the names of its tensors."""

    model: PreTrainedModel
    """In plain form (`lacuna.model.plain`), on the meta device."""
    own: Mapping[str, tuple[int, ...]]
    """Tensors under transformers' names, tied ones and stored buffers included."""

    @classmethod
    def of(cls, model: PreTrainedModel) -> "Architecture":
        """Of a model that transformers made; turns it into plain form, in place."""
        own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        return cls(plain(model), own)

    @property
    def tied(self) -> dict[str, str]:
        """Tied parameter -> the one whose weight it is."""
        return dict(getattr(self.model, "all_tied_weights_keys", {}))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameters and stored buffers of the plain model, tied ones once."""
        state = self.model.state_dict()
        return {n: tuple(t.shape) for n, t in state.items() if n not in self.tied}

    def locate(self, headers: Mapping[str, Entry]) -> Located:
        """Which parameters the tensors of a checkpoint are."""
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter, WeightRenaming

        found, shapes = Located(), self.shapes
        transforms = get_model_conversion_mapping(self.model)
        names = _Names(
            [one for one in transforms if isinstance(one, WeightRenaming)],
            [one for one in transforms if isinstance(one, WeightConverter)],
            self,
        )
        for key, entry in headers.items():
            names.place(key, entry, found)
        for key, name in [(p.key, n) for n, p in found.places.items() if n in self.tied]:
            found.places.setdefault(self.tied[name], found.places.pop(name))
            if found.places[self.tied[name]].key != key:
                found.copies[key] = self.tied[name]
        found.missing = [n for n in shapes if n not in found.places and n not in found.converted]
        for name, place in found.places.items():
            held = _shape(place, headers[place.key])
            if held != shapes[name]:
                found.misshapen.append(f"{name} {list(held)}, not {list(shapes[name])}")
        return found


@dataclass(frozen=True)
class _Names:
    """Translates names of tensors in files into names of parameters."""

    renamings: "list[WeightRenaming]"
    converters: "list[WeightConverter]"
    model: Architecture

    def place(self, key: str, entry: Entry, found: Located) -> None:
        """Enter one tensor."""
        from transformers.core_model_loading import rename_source_key

        own = cast(dict[str, Any], dict(self.model.own))
        prefix = self.model.model.base_model_prefix
        name, pattern = rename_source_key(key, self.renamings, self.converters, prefix, own)
        if name not in self.model.own:
            ignored = self.model.model._keys_to_ignore_on_load_unexpected or ()
            computed = entry.stored == "BOOL" or _BUFFER.search(key)
            if computed or any(re.search(one, key) for one in ignored):
                found.buffers.append(key)
            else:
                found.foreign.append(key)
            return
        experts = self._experts(name)
        if experts is not None:
            found.places.update(self._of_expert(key, name, pattern, experts))
        elif pattern is not None:
            found.converted += [name]
        else:
            module = self.model.model.get_submodule(name.rpartition(".")[0])
            turned = isinstance(module, Turned) and name.endswith(".weight")
            found.places[name] = Place(key, turned=turned)

    def _experts(self, name: str) -> Experts | None:
        module = self.model.model.get_submodule(name.rpartition(".")[0])
        return module if isinstance(module, Experts) else None

    def _of_expert(
        self, key: str, name: str, pattern: str | None, experts: Experts
    ) -> dict[str, Place]:
        """Of a fused parameter, all of its parts; of one expert's matrix, this."""
        path, _, leaf = name.rpartition(".")
        parts = ("gate_proj", "up_proj") if leaf == "gate_up_proj" else ("down_proj",)
        if pattern is None:
            width = cast(nn.Linear, experts.get_submodule("0.gate_proj")).out_features
            rows = {"gate_proj": (0, width), "up_proj": (width, 2 * width), "down_proj": None}
            return {
                f"{path}.{e}.{part}.weight": Place(key, e, rows[part])
                for e in range(experts.count)
                for part in parts
            }
        sources = next(c.source_patterns for c in self.converters if pattern in c.source_patterns)
        number = re.findall(r"\.(\d+)\.", key)[-1]
        part = parts[min(sources.index(pattern), len(parts) - 1)]
        return {f"{path}.{number}.{part}.weight": Place(key)}


def _shape(place: Place, entry: Entry) -> tuple[int, ...]:
    """The shape of the part of a stored tensor that a place names, as the model has it."""
    shape = entry.shape
    if place.expert is not None:
        shape = shape[1:]
    if place.rows is not None:
        shape = (min(place.rows[1], shape[0]) - place.rows[0], *shape[1:])
    return shape[::-1] if place.turned else shape


def require_whole(source: str | Path, found: Located, name: str) -> None:
    """Raise `UserError` unless the files hold every weight in its shape, and no other."""
    if not (found.missing or found.misshapen or found.foreign):
        return
    said = []
    if found.missing:
        said.append(f"lacks {len(found.missing)} weights ({_first(found.missing)})")
    if found.misshapen:
        said.append(f"has {len(found.misshapen)} of another shape ({found.misshapen[0]})")
    if found.foreign:
        said.append(f"holds {len(found.foreign)} it has no place for ({_first(found.foreign)})")
    raise UserError(
        f"{source}: for {name} it {', '.join(said)}: what is missing would be made up at random - "
        f"give the whole checkpoint under its own names (no wrapper's prefix)"
    )


def _first(names: list[str]) -> str:
    return ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")


def unreadable(source: str | Path, revision: str | None, error: Exception) -> UserError:
    """Why a model cannot be read, and what to do about it."""
    if isinstance(error, UserError):
        return error
    causes = list(_causes(error))
    name = f"cannot load model {str(source)!r} (revision {revision}): "
    if any(isinstance(cause, GatedRepoError) for cause in causes):
        page = f"{constants.ENDPOINT}/{source}"
        held = "with the token that is set" if get_token() else "without a token"
        reason = f"it is gated, and closed to you {held} - ask for access at {page}, then set "
        return UserError(f"{name}{reason}HF_TOKEN, or give a local folder (model.source=FOLDER)")
    if any(isinstance(cause, RevisionNotFoundError) for cause in causes):
        reason = "it has no such branch, tag or commit - see its revisions on the hub, and set "
        return UserError(f"{name}{reason}model.revision (null: the newest)")
    if any(isinstance(cause, RepositoryNotFoundError) for cause in causes):
        reason = "the hub has no such model that you may see - check the name, or set HF_TOKEN "
        return UserError(f"{name}{reason}where it is private")
    if any(isinstance(cause, (LocalEntryNotFoundError, OfflineModeIsEnabled)) for cause in causes):
        reason = "the hub does not answer, and no copy is on this machine - connect, or give a "
        return UserError(f"{name}{reason}folder with its files (model.source=FOLDER)")
    lines = [" ".join(str(error).split())]
    kind = "" if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: "
    return UserError(
        f"{name}{kind}{lines[0][:300]} - give a hub name you may read, or a local folder with "
        f"config, safetensors and tokenizer"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def text_config(model: PreTrainedModel) -> "PretrainedConfig":
    """The configuration of the text decoder, of a wrapper's too."""
    return model.config.get_text_config(decoder=True)
