"""What can be known of a model before any weight is read: the same check for plan, study and audit.

Weights from headers against the architecture (`lacuna.model.architecture`), the tokenizer against
the embedding, the chat template with and without a system message, texts against positions.
What it cannot vouch for is refused in one line, or named in `unchecked`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from jinja2 import TemplateError
from safetensors import safe_open
from torch import Tensor

from lacuna.data.base import Example
from lacuna.data.tokens import IGNORE, Encoded, Prompt, Tokenizer
from lacuna.errors import UserError
from lacuna.model.architecture import (
    UNREADABLE,
    Architecture,
    Located,
    architecture,
    quiet,
    require_whole,
    text_config,
    unreadable,
)
from lacuna.model.files import FLOATS, INDEX, SINGLE, Entry, bare, read_config, read_headers
from lacuna.model.value import layout
from lacuna.model_types import PreTrainedModel


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What was found; plain JSON values, as plan prints them and the manifest holds them."""

    source: str
    revision: str | None
    architecture: str
    parameters: int
    value_vectors: int
    stored_as: Sequence[str]
    """Types of the stored weights, in the terms of safetensors; empty where none was seen."""
    buffers: Sequence[str]
    """Tensors in the files that the architecture computes by itself."""
    tied_copies: Sequence[str]
    """Tensors in the files that are copies of tied weights."""
    tokens: int
    """Of the tokenizer."""
    embedding: int
    """Rows of the embedding."""
    largest_id: int | None
    """Of the texts, answers included."""
    longest: int | None
    """Tokens of the longest text."""
    positions: int | None
    """Tokens that the model is made for."""
    unknown_tokens: int
    """Of the texts: what the tokenizer cannot write."""
    special: dict[str, int | None]
    """Ids of begin, end and padding."""
    chat: str
    """Of the chat template: `none`, or whether a system message is `heard`, `ignored`, `refused`
    (by the template itself)."""
    unchecked: Sequence[str]
    """What is not at hand and is checked when it is loaded: weights, tokenizer."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    def lines(self) -> list[str]:
        """For people: the model, what asks it, and what to know."""
        texts = ""
        if self.longest is not None:
            texts = f", largest id used {self.largest_id}; longest text {self.longest} tokens"
        said = [
            f"{self.architecture}: {self.parameters:,} weights "
            f"({', '.join(self.stored_as) or 'not seen'}), {self.value_vectors:,} value vectors",
            f"tokenizer of {self.tokens}, embedding of {self.embedding}{texts} of {self.positions}",
        ]
        if self.chat != "none":
            said.append(f"chat template: a system message is {self.chat}")
        if self.special["end"] is None:
            said.append("no end-of-text token: greedy answers run until they are cut")
        if self.unknown_tokens:
            said.append(f"{self.unknown_tokens} tokens of the texts are unknown to the tokenizer")
        if self.unchecked:
            said.append(f"checked when loaded: {', '.join(self.unchecked)}")
        return said


def preflight(
    source: str | Path,
    revision: str | None,
    prompt: Prompt,
    examples: Sequence[Example] = (),
    texts: Sequence[str] = (),
    attention: str = "sdpa",
    finite: bool = False,
) -> Preflight:
    """Check a checkpoint (hub name or folder) for questions asked by `prompt`, and plain texts.

    `finite` also reads the weights, in pieces, to find NaN and infinity before a model is loaded.
    Raises `UserError` in one line for whatever would make the model or its numbers wrong.
    """
    shape = architecture(source, revision, attention)
    value_vectors = layout(shape.model).total
    unchecked = []
    folder = _folder(source, revision)
    found, headers = Located(), dict[str, Entry]()
    if folder is None:
        unchecked.append("weights")
    else:
        found, headers = stored_weights(source, folder, shape)
        if finite:
            _require_finite(source, {p.key: headers[p.key] for p in found.places.values()})
    tokenizer = None
    try:
        tokenizer = read_tokenizer(source, revision)
    except UserError:
        if Path(source).is_dir() and folder is not None:
            raise
        unchecked.append("tokenizer")
    asked: dict[str, Any] = {}
    if tokenizer is not None:
        require_usable(source, shape.model, tokenizer)
        asked = _asked(source, shape.model, tokenizer, prompt, examples, texts)
    return Preflight(
        source=str(source),
        revision=revision,
        architecture=type(shape.model).__name__,
        parameters=shape.model.num_parameters(),
        value_vectors=value_vectors,
        stored_as=tuple(sorted({headers[p.key].stored for p in found.places.values()})),
        buffers=tuple(found.buffers),
        tied_copies=tuple(found.copies),
        tokens=0 if tokenizer is None else len(tokenizer),
        embedding=_rows(shape.model),
        positions=_positions(shape.model),
        special=_special(tokenizer),
        unchecked=tuple(unchecked),
        **{"largest_id": None, "longest": None, "unknown_tokens": 0, "chat": "none", **asked},
    )


def _folder(source: str | Path, revision: str | None) -> Path | None:
    """Where the weights' files are: a folder, or the hub's cache where it has all of them.

    None too for a folder of a config.json alone, which tells a model's size.
    """
    if Path(source).is_dir():
        return None if bare(Path(source)) else Path(source)
    cached = try_to_load_from_cache(str(source), "config.json", revision=revision)
    if not isinstance(cached, str):
        return None
    folder = Path(cached).parent
    read_config(folder)
    return folder if (folder / SINGLE).is_file() or (folder / INDEX).is_file() else None


def stored_weights(
    source: str | Path, folder: Path, shape: Architecture
) -> tuple[Located, dict[str, Entry]]:
    """Headers of the folder's weights and what they are to the architecture.

    Raises `UserError` unless every weight is there, in its shape and as a floating-point number,
    and nothing besides but buffers and tied copies.
    """
    read_config(folder)
    headers = read_headers(folder)
    found = shape.locate(headers)
    for name, entry in headers.items():
        if entry.stored not in FLOATS and name not in found.buffers:
            raise UserError(
                f"{source}: {name} is stored as {entry.stored}: weights are floating-point numbers "
                f"here, give the checkpoint before its quantization"
            )
    require_whole(source, found, type(shape.model).__name__)
    return found, headers


def _require_finite(source: str | Path, headers: Mapping[str, Entry], size: int = 2**24) -> None:
    """Raise `UserError` for the first tensor with a weight that is no number; reads pieces of about
    `size` weights."""
    for name, entry in headers.items():
        rows = max(1, size // max(1, math.prod(entry.shape[1:])))
        for start in range(0, entry.shape[0] if entry.shape else 0, rows):
            with safe_open(entry.file, framework="pt") as stream:
                piece: Tensor = stream.get_slice(name)[start : start + rows]
            if not bool(torch.isfinite(piece).all()):
                raise not_finite(source, name, int((~torch.isfinite(piece)).sum()))


def not_finite(source: str | Path, name: str, bad: int) -> UserError:
    """Why a tensor of a checkpoint cannot be used."""
    return UserError(
        f"{source}: {name} has {bad} weights that are NaN or infinite: the training that wrote it "
        f"diverged, give an earlier checkpoint"
    )


def read_tokenizer(source: str | Path, revision: str | None) -> Tokenizer:
    """The checkpoint's tokenizer; never by code of its own. Raises `UserError` where it has none
    that can be read."""
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer: Tokenizer = AutoTokenizer.from_pretrained(
                source, revision=revision, trust_remote_code=False
            )
    except UNREADABLE as error:
        if Path(source).is_dir() and not _has_tokenizer(Path(source)):
            raise UserError(
                f"{source} has weights and no tokenizer (tokenizer.json and its like): copy the "
                f"tokenizer's files of the model it was trained from into the folder"
            ) from error
        raise unreadable(source, revision, error) from error
    except Exception as error:
        if type(error) is not Exception:  # the tokenizers library raises nothing narrower
            raise
        raise unreadable(source, revision, ValueError(f"tokenizer: {error}")) from error
    if tokenizer.vocab_size == 0 and not len(tokenizer):
        raise UserError(f"{source} has an empty tokenizer: copy the tokenizer's files of its model")
    return tokenizer


def _has_tokenizer(folder: Path) -> bool:
    kinds = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "*.tiktoken")
    return any(next(folder.glob(kind), None) for kind in kinds)


def require_usable(source: str | Path, model: PreTrainedModel, tokenizer: Tokenizer) -> None:
    """Raise `UserError` where the end or padding token has no row in the embedding."""
    rows = _rows(model)
    for name, token in _special(tokenizer).items():
        if token is not None and not 0 <= token < rows:
            raise UserError(
                f"{source}: the tokenizer's {name} token is {token}, the embedding has {rows} rows "
                f"(the tokenizer {len(tokenizer)} tokens): resize the embedding, or take the "
                f"tokenizer of this checkpoint"
            )


def _rows(model: PreTrainedModel) -> int:
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return len(weight)


def _positions(model: PreTrainedModel) -> int | None:
    config = text_config(model)
    found = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    return None if found is None else int(found)


def _special(tokenizer: Tokenizer | None) -> dict[str, int | None]:
    if tokenizer is None:
        return {"begin": None, "end": None, "pad": None}
    ids = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    return dict(zip(("begin", "end", "pad"), ids, strict=True))


def _asked(
    source: str | Path,
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    prompt: Prompt,
    examples: Sequence[Example],
    texts: Sequence[str],
) -> dict[str, Any]:
    """Of the texts: largest id, longest, unknown tokens; of the template: what it hears."""
    chat = _chat(source, tokenizer, prompt)
    try:
        told = [Encoded.answer(tokenizer, prompt, item.question, item.answer) for item in examples]
        told += [Encoded.text(tokenizer, text) for text in texts]
    except TemplateError as error:
        raise _template(source, error) from error
    except UNREADABLE as error:
        if isinstance(error, UserError):
            raise
        raise unreadable(source, None, ValueError(f"tokenizer: {error}")) from error
    largest = max((max(one.ids) for one in told if one.ids), default=None)
    longest = max((len(one.ids) for one in told), default=None)
    rows, positions = _rows(model), _positions(model)
    if largest is not None and largest >= rows:
        raise UserError(
            f"{source}: the tokenizer has {len(tokenizer)} tokens (largest id used by the data: "
            f"{largest}), the embedding {rows} rows: resize the embedding, or take the tokenizer "
            f"of this checkpoint"
        )
    if longest is not None and positions is not None and longest > positions:
        raise UserError(
            f"{source}: the longest text of the data has {longest} tokens, the model is made for "
            f"{positions}: shorten it, or take a model of more positions"
        )
    unknown = tokenizer.unk_token_id
    count = sum(label == unknown for one in told for label in one.labels if label != IGNORE)
    return {
        "largest_id": largest,
        "longest": longest,
        "unknown_tokens": 0 if unknown is None else count,
        "chat": chat,
    }


def _chat(source: str | Path, tokenizer: Tokenizer, prompt: Prompt) -> str:
    """Whether the template hears a system message; raises `UserError` where the prompt needs it."""
    if tokenizer.chat_template is None and not prompt.chat:
        return "none"
    talk = replace(prompt, chat=True, system=None)
    try:
        first, second = (talk.head(tokenizer, question) for question in ("Who?", "Where?"))
    except (TemplateError, TypeError, ValueError) as error:
        if isinstance(error, UserError) or prompt.chat:
            raise _template(source, error) from error
        return "broken"
    if prompt.chat and first == second:
        raise UserError(f"{source}: its chat template leaves the question out: mend the template")
    heard = "heard"
    try:
        spoken = replace(talk, system=prompt.system or "Be brief.").head(tokenizer, "Who?")
        heard = "ignored" if spoken == first else "heard"
    except (TemplateError, TypeError, ValueError):
        heard = "refused"
    if prompt.system is not None and heard != "heard":
        raise UserError(
            f"{source}: its chat template takes no system message (it is {heard}): set "
            f"model.prompt.system=null"
        )
    return heard


def _template(source: str | Path, error: Exception) -> UserError:
    if isinstance(error, UserError):
        return error
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return UserError(f"{source}: its chat template fails ({said[:200]}): mend it, or ask plainly")
