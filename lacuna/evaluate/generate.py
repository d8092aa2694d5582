"""Greedy answers, batched and left-padded; only where a metric is about generated text.

Keys and values are cached, and a batch ends as soon as each of its rows has: at its end-of-text
token nothing of a row can change any more.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers import GenerationConfig, PreTrainedModel

from lacuna.data.base import Example
from lacuna.model.load import LoadedModel


def generate(
    loaded: LoadedModel, examples: Sequence[Example], *, new_tokens: int, max_tokens: int = 4096
) -> list[str]:
    """The model's greedy answer to each question, in the given order, without the prompt."""
    heads = prompts(loaded, examples)
    return complete(loaded, heads, new_tokens=new_tokens, max_tokens=max_tokens)


def prompts(loaded: LoadedModel, examples: Sequence[Example]) -> list[list[int]]:
    """Each question in the model's tokens, up to where its answer begins."""
    return [loaded.prompt.head(loaded.tokenizer, example.question) for example in examples]


@torch.no_grad()
def complete(
    loaded: LoadedModel, heads: Sequence[list[int]], *, new_tokens: int, max_tokens: int = 4096
) -> list[str]:
    """The greedy continuation of each prompt, in the given order, as text.

    Longest prompts first, at most `max_tokens` tokens a batch (new ones counted); a row ends at one
    of the model's `stops` or after `new_tokens`.
    """
    model, tokenizer, stops = loaded.model, loaded.tokenizer, loaded.stops
    order = sorted(range(len(heads)), key=lambda i: (-len(heads[i]), i))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else next(iter(stops), 0)
    texts = [""] * len(heads)
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
            own = [_until(row, stops) for row in output_BT[:, width:].tolist()]
            said = tokenizer.batch_decode(own, skip_special_tokens=True)
            for i, text in zip(rows, said, strict=True):
                texts[i] = text.strip()
    return texts


def _until(ids: list[int], stops: Sequence[int]) -> list[int]:
    """Tokens up to the first stop."""
    return ids[: next((i for i, token in enumerate(ids) if token in stops), len(ids))]


@contextmanager
def _as_it_is(model: PreTrainedModel) -> Iterator[None]:
    """Without what the hub wants of generation: a penalty of repetition would hide a fact."""
    wanted = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = wanted
