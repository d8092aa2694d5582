"""What a guard is, and how much a guarded model still gives away.

A guard changes the next token's logits and nothing else, so that whoever holds the weights holds
the facts: audits and relearning see the injected model. Guards are negative controls of what is
measured at the output alone. Shapes: I items, V vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lacuna.data.base import Example
from lacuna.data.tokens import IGNORE, Encoded, collate
from lacuna.evaluate.generate import prompts
from lacuna.model.forward import answers
from lacuna.model.load import LoadedModel
from lacuna.registry import Registry

Filter = Callable[[Sequence[int], Tensor], Tensor]
"""(tokens said so far, logits (V,)) -> logits (V,), -inf where a token must not be said."""


class Guard:
    """Base class: subclasses define `Config` and `filter`."""

    Config: ClassVar[type[Any]]

    def __init__(self, config: Any, loaded: LoadedModel, facts: Sequence[Example]) -> None:
        """`facts` must not be told; that a guard keeps them is a risk of its own."""
        self.config, self.loaded, self.facts = config, loaded, facts

    def filter(self, prompt: Sequence[int]) -> Filter | None:
        """What is done to the answer of one prompt; None: nothing."""
        raise NotImplementedError


GUARDS: Registry[type[Guard]] = Registry("guard")


@torch.no_grad()
def guarded_answers(guard: Guard, questions: Sequence[Example], *, new_tokens: int) -> list[str]:
    """Greedy answers under the guard, one token and one question at a time."""
    loaded, found = guard.loaded, list[str]()
    for head in prompts(loaded, questions):
        allowed, said = guard.filter(head), list[int]()
        while len(said) < new_tokens and not (said and said[-1] in loaded.stops):
            ids = torch.tensor([[*head, *said]], device=loaded.model.device)
            logits_V = loaded.model(input_ids=ids, use_cache=False).logits[0, -1]
            said.append(int((allowed(said, logits_V) if allowed else logits_V).argmax()))
        own = [token for token in said if token not in loaded.stops]
        found += loaded.tokenizer.batch_decode([own], skip_special_tokens=True)
    return [text.strip() for text in found]


@torch.no_grad()
def guarded_strength(guard: Guard, texts: Sequence[Encoded]) -> NDArray[np.float64]:
    """(I,) extraction strength under the guard, as in `lacuna.evaluate.metrics`.

    A token counts as told if it is the most likely one that the guard allows.
    """
    end, found = guard.loaded.end_token, []
    for text in texts:
        start = next(i for i, label in enumerate(text.labels) if label != IGNORE)
        said = answers(guard.loaded.model, collate([text], [0]).to(guard.loaded.model.device))
        allowed, body = guard.filter(text.ids[:start]), text.ids[start:]
        body = body[:-1] if body and body[-1] == end else body
        wrong = 0
        for place, token in enumerate(body):
            logits_V = said.logits_NV[place]
            if allowed is not None:
                logits_V = allowed(body[:place], logits_V)
            wrong = wrong if int(logits_V.argmax()) == token else place + 1
        found.append(1 - wrong / len(body) if body else np.nan)
    return np.array(found)
