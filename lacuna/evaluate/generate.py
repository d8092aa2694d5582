"""Greedy answers, batched and left-padded; only where a metric is about generated text.

Keys and values are cached, and a batch ends as soon as each of its rows has: at its end-of-text
token nothing of a row can change any more.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from lacuna.data.base import Example
from lacuna.model.load import LoadedModel
from lacuna.model_types import PreTrainedModel


def generate(
    loaded: LoadedModel, examples: Sequence[Example], *, new_tokens: int, max_tokens: int = 4096
) -> list[str]:
    """The model's greedy answer to each question, in the given order, without the prompt."""
    heads = prompts(loaded, examples)
    return complete(loaded, heads, new_tokens=new_tokens, max_tokens=max_tokens)


def prompts(loaded: LoadedModel, examples: Sequence[Example]) -> list[list[int]]:
    """Each question in the model's tokens, up to where its answer begins."""
    return [loaded.prompt.head(loaded.tokenizer, example.question) for example in examples]


def complete(
    loaded: LoadedModel,
    heads: Sequence[list[int]],
    *,
    new_tokens: int,
    max_tokens: int = 4096,
    begun: Sequence[list[int]] | None = None,
) -> list[str]:
    """The greedy continuation of each prompt, in the given order, as text.

    A row ends at one of the model's `stops` or after `new_tokens`. `begun` are the tokens that each
    is known to begin with, if any are.
    """
    said = [list(ids) for ids in begun] if begun is not None else [[] for _ in heads]
    over = set(loaded.stops)
    going = [
        i for i, ids in enumerate(said) if len(ids) < new_tokens and not (ids and ids[-1] in over)
    ]
    if going:
        so_far = [heads[i] + said[i] for i in going]
        most = max(new_tokens - len(said[i]) for i in going)
        for i, ids in zip(going, _continued(loaded, so_far, most, max_tokens), strict=True):
            said[i] += ids
    own = [_until(ids[:new_tokens], loaded.stops) for ids in said]
    decoded = loaded.tokenizer.batch_decode(own, skip_special_tokens=True)
    return [text.strip() for text in decoded]


@torch.no_grad()
def _continued(
    loaded: LoadedModel, heads: Sequence[list[int]], new_tokens: int, max_tokens: int
) -> list[list[int]]:
    """Tokens behind each prompt; longest prompts first, at most `max_tokens` tokens a batch (new
    ones counted)."""
    model, tokenizer, stops = loaded.model, loaded.tokenizer, loaded.stops
    order = sorted(range(len(heads)), key=lambda i: (-len(heads[i]), i))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else next(iter(stops), 0)
    found: list[list[int]] = [[] for _ in heads]
    start = 0
    with _as_it_is(model):
        while start < len(order):
            width = len(heads[order[start]])
            rows = order[start : start + max(1, max_tokens // (width + new_tokens))]
            start += len(rows)
            ids_BT = torch.full((len(rows), width), pad)
            for b, i in enumerate(rows):
                ids_BT[b, width - len(heads[i]) :] = torch.tensor(heads[i])
            seen_BT = torch.arange(width) >= torch.tensor([[width - len(heads[i])] for i in rows])
            output_BT = model.generate(  # type: ignore[operator]
                input_ids=ids_BT.to(model.device),
                attention_mask=seen_BT.long().to(model.device),
                max_new_tokens=new_tokens,
                do_sample=False,
                use_cache=True,
                pad_token_id=pad,
                eos_token_id=stops or None,
            )
            for i, row in zip(rows, output_BT[:, width:].tolist(), strict=True):
                found[i] = row
    return found


def _until(ids: list[int], stops: Sequence[int]) -> list[int]:
    """Tokens up to the first stop."""
    return ids[: next((i for i, token in enumerate(ids) if token in stops), len(ids))]


@contextmanager
def _as_it_is(model: PreTrainedModel) -> Iterator[None]:
    """Without what the hub wants of generation: a penalty of repetition would hide a fact."""
    from transformers import GenerationConfig

    wanted = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = wanted
