"""Greedy answers, batched and left-padded; only where a metric is about generated text."""

from collections.abc import Sequence

import torch

from lacuna.data.base import Example
from lacuna.model.load import LoadedModel


@torch.no_grad()
def generate(
    loaded: LoadedModel, examples: Sequence[Example], *, new_tokens: int, max_tokens: int = 4096
) -> list[str]:
    """The model's greedy answer to each question, in the given order, without the prompt.

    Longest prompts first, at most `max_tokens` tokens a batch (new ones counted); a row ends at the
    end-of-text token or after `new_tokens`.
    """
    model, tokenizer = loaded.model, loaded.tokenizer
    heads = [loaded.prompt.head(tokenizer, example.question) for example in examples]
    order = sorted(range(len(heads)), key=lambda i: (-len(heads[i]), i))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    texts = [""] * len(heads)
    start = 0
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
            pad_token_id=pad,
            eos_token_id=tokenizer.eos_token_id,
        )
        for i, text in zip(rows, tokenizer.batch_decode(output_BT[:, width:], True), strict=True):
            texts[i] = text.strip()
    return texts
