"""What an attack is asked: does what was forgotten come back?

Every attack starts from the model it is given and leaves it as it found it. It reports the forget
facts that it did not itself train on ("others"), before and after, as extraction strength and as
mean log-probability per token, which shows knowledge that ES hides (LOG.md).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from lacuna.data.base import Example
from lacuna.data.tokens import Encoded
from lacuna.errors import UserError
from lacuna.evaluate import metrics
from lacuna.evaluate.read import read
from lacuna.seeds import torch_generator


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One attack's result. ES and log-probabilities are means over questions."""

    attack: str
    lr: float | None
    n_attacked: int
    """Forget questions that the attacker trained on."""
    n_others: int
    """Forget questions measured."""
    attacked_es_after: float | None
    others_es_before: float
    others_es_after: float
    others_logp_before: float
    others_logp_after: float

    def to_json(self) -> dict[str, object]:
        """A plain dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class Facts:
    """Forget questions that somebody else's leak may bring back."""

    attacked: Sequence[Encoded]
    others: Sequence[Encoded]
    end_token: int | None

    @property
    def all(self) -> list[Encoded]:
        """Attacked and others together."""
        return [*self.attacked, *self.others]


def split_people(
    examples: Sequence[Example], texts: Sequence[Encoded], share: float, seed: int, end: int | None
) -> Facts:
    """Give the attacker `share` of the forgotten people (at least one, never all).

    Raises `UserError` where there are fewer than two people: nobody would be left to measure.
    """
    people = sorted({example.person for example in examples})
    if len(people) < 2:
        raise UserError(
            "relearning attacks need at least 2 forgotten people, the data has 1: name the people, "
            "or turn them off with attack.relearn_lrs=[]"
        )
    order = torch.randperm(len(people), generator=torch_generator(seed, "attack", "people"))
    count = min(max(1, round(share * len(people))), len(people) - 1)
    known = {people[i] for i in order[:count].tolist()}
    pairs = list(zip(examples, texts, strict=True))
    return Facts(
        attacked=[text for example, text in pairs if example.person in known],
        others=[text for example, text in pairs if example.person not in known],
        end_token=end,
    )


def recall(
    model: PreTrainedModel, texts: Sequence[Encoded], end_token: int | None
) -> tuple[float, float]:
    """Mean ES and mean log-probability per token over questions."""
    table = read(model, texts, end_token=end_token, spread=False)
    strength = metrics.extraction_strength(table)
    return float(np.nanmean(strength)), float(np.nanmean(metrics.mean_logp(table)))
