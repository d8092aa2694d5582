"""From text to batches: tokenised once, sorted by length, padded on the right.

Shapes: B sequences, T tokens, N labelled tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lacuna.data.base import Example
from lacuna.errors import UserError
from lacuna.seeds import torch_generator

IGNORE = -100
"""Label of a position that is not predicted."""
DATE = "26 Jul 2024"
"""The date that chat templates are given (Llama 3.1's own fallback), so that a study asks the same
questions on every day."""
_FIXED_DAY = "{% macro strftime_now(form) %}" + DATE + "{% endmacro %}"
"""Put in front of a chat template, it replaces the clock by `DATE`."""


Tokenizer = PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """How a question becomes a prompt: `template` as plain text, or the chat template."""

    template: str = "Question: {question}\nAnswer:"
    """Plain form; must contain {question}."""
    separator: str = " "
    """What stands between a plain prompt and its answer; tokenised with the answer."""
    chat: bool = False
    """Use the tokenizer's chat template instead (instruction-tuned models)."""
    system: str | None = None
    """System message of a chat; None leaves it to the template, which may have one of its own."""

    def __post_init__(self) -> None:
        if "{question}" not in self.template:
            raise UserError(f"prompt template {self.template!r} lacks {{question}}: add it")
        if self.system is not None and not self.chat:
            raise UserError("a plain prompt has no system message: set model.prompt.chat=true")

    def head(self, tokenizer: Tokenizer, question: str) -> list[int]:
        """Token ids in front of the answer, the begin-of-text token included where there is one."""
        if self.chat:
            return _ids(tokenizer, self._chat(tokenizer, question), special=False)
        ids = _ids(tokenizer, self.template.format(question=question), special=True)
        return ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id else ids

    def _chat(self, tokenizer: Tokenizer, question: str) -> str:
        """The conversation up to the answer, with a fixed date and without a thinking part."""
        if tokenizer.chat_template is None:
            raise UserError("this tokenizer has no chat template: set model.prompt.chat=false")
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        text = tokenizer.apply_chat_template(
            [*system, {"role": "user", "content": question}],
            tokenize=False,
            chat_template=_FIXED_DAY + tokenizer.get_chat_template(),
            add_generation_prompt=True,
            date_string=DATE,
            enable_thinking=False,
        )
        return str(text)

    def tail(self, tokenizer: Tokenizer, answer: str) -> list[int]:
        """Token ids of the answer, closed by the end-of-text token where there is one."""
        ids = _ids(tokenizer, answer if self.chat else self.separator + answer, special=False)
        return ids if tokenizer.eos_token_id is None else [*ids, tokenizer.eos_token_id]


def _ids(tokenizer: Tokenizer, text: str, special: bool) -> list[int]:
    return list(tokenizer(text, add_special_tokens=special)["input_ids"])


@dataclass(frozen=True)
class Encoded:
    """One tokenised text; `labels` equal `ids` inside the answer span and `IGNORE` elsewhere."""

    ids: list[int]
    labels: list[int]

    @classmethod
    def answer(cls, tokenizer: Tokenizer, prompt: Prompt, question: str, answer: str) -> "Encoded":
        """Question and answer, tokenised apart: the answer's tokens never depend on the cut."""
        head, tail = prompt.head(tokenizer, question), prompt.tail(tokenizer, answer)
        return cls([*head, *tail], [IGNORE] * len(head) + tail)

    @classmethod
    def text(cls, tokenizer: Tokenizer, text: str) -> "Encoded":
        """Plain text: every token is predicted."""
        ids = _ids(tokenizer, text, special=True)
        if tokenizer.eos_token_id is not None and ids[-1:] != [tokenizer.eos_token_id]:
            ids = [*ids, tokenizer.eos_token_id]
        return cls(ids, list(ids))


@dataclass(frozen=True)
class Batch:
    """Right-padded sequences. `index_B` is each row's position in the list it was drawn from."""

    ids_BT: Tensor
    labels_BT: Tensor
    index_B: Tensor
    lengths_B: Tensor

    @property
    def real_BT(self) -> Tensor:
        """True where a token is text, not padding."""
        places_T = torch.arange(self.ids_BT.shape[1], device=self.ids_BT.device)
        return places_T < self.lengths_B[:, None]

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        tensors = (self.ids_BT, self.labels_BT, self.index_B, self.lengths_B)
        return Batch(*(tensor.to(device) for tensor in tensors))


def collate(encoded: Sequence[Encoded], index: Sequence[int], pad: int = 0) -> Batch:
    """Pad the sequences at `index` to a common length.

    Under causal attention right padding needs no attention mask: no real token sees it.
    """
    rows = [encoded[i] for i in index]
    width = max(len(row.ids) for row in rows)
    ids_BT = torch.full((len(rows), width), pad)
    labels_BT = torch.full((len(rows), width), IGNORE)
    for b, row in enumerate(rows):
        ids_BT[b, : len(row.ids)] = torch.tensor(row.ids)
        labels_BT[b, : len(row.labels)] = torch.tensor(row.labels)
    lengths_B = torch.tensor([len(row.ids) for row in rows])
    return Batch(ids_BT, labels_BT, torch.tensor(list(index)), lengths_B)


def reading_batches(encoded: Sequence[Encoded], max_tokens: int) -> Iterator[Batch]:
    """All sequences once, longest first, at most `max_tokens` tokens (padding counted) a batch."""
    order = sorted(range(len(encoded)), key=lambda i: (-len(encoded[i].ids), i))
    start = 0
    while start < len(order):
        rows = max(1, max_tokens // len(encoded[order[start]].ids))
        yield collate(encoded, order[start : start + rows])
        start += rows


class TrainingBatches:
    """Shuffled batches addressed by step: step s is the same batch however often one resumes.

    Each epoch draws a permutation from its own seed; within windows of 8 batches rows are sorted by
    length, so that little padding is computed, and the order of batches is shuffled again.
    """

    def __init__(self, encoded: Sequence[Encoded], batch_size: int, seed: int) -> None:
        if not encoded:
            raise UserError("nothing to train on: the list of texts is empty")
        self.encoded, self.batch_size, self.seed = encoded, batch_size, seed
        self.per_epoch = -(-len(encoded) // batch_size)
        self._epoch, self._order = -1, [[0]]

    def __getitem__(self, step: int) -> Batch:
        """The batch of one step (0-based); wraps around into further epochs."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        return collate(self.encoded, self._order[place])

    def _shuffled(self, epoch: int) -> list[list[int]]:
        generator = torch_generator(self.seed, "epoch", epoch)
        rows: list[int] = torch.randperm(len(self.encoded), generator=generator).tolist()
        window = 8 * self.batch_size
        batches = []
        for start in range(0, len(rows), window):
            near = sorted(rows[start : start + window], key=lambda i: len(self.encoded[i].ids))
            batches += [near[k : k + self.batch_size] for k in range(0, len(near), self.batch_size)]
        return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def encode_examples(
    tokenizer: Tokenizer, prompt: Prompt, examples: Sequence[Example]
) -> list[Encoded]:
    """Questions with their answers as trained."""
    return [Encoded.answer(tokenizer, prompt, item.question, item.answer) for item in examples]
