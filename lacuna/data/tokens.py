"""From text to batches: tokenised once, sorted by length, padded on the right.

Shapes: B sequences, T tokens, N labelled tokens.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from lacuna.data.base import Example
from lacuna.errors import UserError
from lacuna.model_types import PreTrainedTokenizerBase
from lacuna.seeds import torch_generator

IGNORE = -100
"""Label of a position that is not predicted."""
DATE = "26 Jul 2024"
"""The date that chat templates are given (Llama 3.1's own fallback), so that a study asks the same
questions on every day."""
_FIXED_DAY = "{% macro strftime_now(form) %}" + DATE + "{% endmacro %}"
"""Put in front of a chat template, it replaces the clock by `DATE`."""


_MARK = "Zyqx7"
"""An answer that no template holds by itself."""
Tokenizer = PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """How a question becomes a prompt: `template` as plain text, or the chat template."""

    template: str = "Question: {question}\nAnswer:"
    """Plain form; must contain {question}. Other braces are text."""
    separator: str = " "
    """What stands between a plain prompt and its answer."""
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
        """Token ids in front of an answer, the begin-of-text token included where there is one."""
        ids, start = self.tokens(tokenizer, question, "a")
        return ids[:start]

    def tokens(self, tokenizer: Tokenizer, question: str, answer: str) -> tuple[list[int], int]:
        """Token ids of question and answer as one text, and how many stand before the answer.

        The text ends where it does for the model: see `end`. Blanks in front of the answer are the
        answer's, and so is a token that lies across its beginning. Tokenizers that do not say where
        in the text a token lies are given the two parts one after the other.
        """
        lead, said, closing = self._texts(tokenizer, question, answer)
        end, special = self._end(tokenizer, closing), not self.chat
        if tokenizer.is_fast:
            made = tokenizer(
                lead + said + closing, add_special_tokens=special, return_offsets_mapping=True
            )
            ids, cut = list(made["input_ids"]), len(lead)
            word = cut + len(said) - len(said.lstrip())
            inside = (b > cut and (a >= cut or b > word) for a, b in made["offset_mapping"])
            start = next((i for i, mine in enumerate(inside) if mine), len(ids))
        else:
            head = _open(_ids(tokenizer, lead, special), tokenizer.eos_token_id)
            ids, start = [*head, *_ids(tokenizer, said + closing, False)], len(head)
        if special:
            ids = _open(ids, tokenizer.eos_token_id)
        return (ids if end is None or ids[-1:] == [end] else [*ids, end]), min(start, len(ids))

    def end(self, tokenizer: Tokenizer) -> int | None:
        """The token that closes an answer: of a chat what its template puts there, where that is a
        token of its own, else the end-of-text token where there is one."""
        return self._end(tokenizer, self._texts(tokenizer, "", "")[2])

    def _end(self, tokenizer: Tokenizer, closing: str) -> int | None:
        if closing:
            return _ids(tokenizer, closing, False)[-1]
        return cast(int | None, tokenizer.eos_token_id)

    def _texts(self, tokenizer: Tokenizer, question: str, answer: str) -> tuple[str, str, str]:
        """What is asked, what is answered, and what closes it, if that is a token of its own.

        Of a chat, as its template writes a conversation that goes on: with what it puts in front of
        an answer, where the prompt for an answer does not end in that already.
        """
        if not self.chat:
            lead, said = self.template.replace("{question}", question), self.separator + answer
            return *_blank(lead, said), ""
        lead, whole = self._chat(tokenizer, question), self._chat(tokenizer, question, _MARK)
        before, _, behind = whole.rpartition(_MARK)
        between = before.removeprefix(lead) if before.startswith(lead) else ""
        return *_blank(lead + between, answer.strip()), _closing(tokenizer, behind)

    def _chat(self, tokenizer: Tokenizer, question: str, answer: str | None = None) -> str:
        """The conversation up to the answer, or with it; with a fixed date, without thinking."""
        if tokenizer.chat_template is None:
            raise UserError("this tokenizer has no chat template: set model.prompt.chat=false")
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        told = [] if answer is None else [{"role": "assistant", "content": answer}]
        text = tokenizer.apply_chat_template(
            [*system, {"role": "user", "content": question}, *told],
            tokenize=False,
            chat_template=_FIXED_DAY + tokenizer.get_chat_template(),
            add_generation_prompt=answer is None,
            date_string=DATE,
            enable_thinking=False,
        )
        return str(text)


def typed(text: str) -> str:
    r"""Text from a command line as it was meant: `\n` and `\t` are a new line and a tab, `\\` is a
    backslash; others stay as they are."""
    meant = {"n": "\n", "t": "\t", "\\": "\\"}
    return re.sub(r"\\([nt\\])", lambda found: meant[found[1]], text)


def _blank(lead: str, said: str) -> tuple[str, str]:
    """Blanks at the end of a lead go to what is said: a word is one token with that before it."""
    bare = lead.rstrip(" ")
    return bare, lead[len(bare) :] + said


def _closing(tokenizer: Tokenizer, behind: str) -> str:
    """Text behind an answer up to its first special token; empty where it has none."""
    special = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    visible = [token for token in special | set(tokenizer.all_special_tokens) if token.strip()]
    longest_first = sorted(visible, key=lambda token: (-len(token), token))
    found = re.search("|".join(map(re.escape, longest_first)), behind) if visible else None
    return behind[: found.end()] if found else ""


def _ids(tokenizer: Tokenizer, text: str, special: bool) -> list[int]:
    return list(tokenizer(text, add_special_tokens=special)["input_ids"])


def _open(ids: list[int], end: int | None) -> list[int]:
    """Without the end-of-text token that some tokenizers put behind every text."""
    return ids[:-1] if ids and ids[-1] == end else ids


@dataclass(frozen=True)
class Encoded:
    """One tokenised text; `labels` equal `ids` inside the answer span and `IGNORE` elsewhere."""

    ids: list[int]
    labels: list[int]

    @classmethod
    def answer(cls, tokenizer: Tokenizer, prompt: Prompt, question: str, answer: str) -> "Encoded":
        """Question and answer, tokenised as the model sees them: as one text."""
        ids, start = prompt.tokens(tokenizer, question, answer)
        return cls(ids, [IGNORE] * start + ids[start:])

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
    lengths_B = np.array([len(row.ids) for row in rows])
    ids_BT = np.full((len(rows), lengths_B.max()), pad)
    labels_BT = np.full(ids_BT.shape, IGNORE)
    for b, row in enumerate(rows):
        ids_BT[b, : len(row.ids)] = row.ids
        labels_BT[b, : len(row.labels)] = row.labels
    columns = ids_BT, labels_BT, np.array(index, dtype=np.int64), lengths_B
    return Batch(*map(torch.from_numpy, columns))


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
