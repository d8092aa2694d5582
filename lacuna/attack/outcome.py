"""What is measured of an attack: whether forgotten facts come back.

Every attack starts from the model it is given, and puts it back afterwards. Measured are the forget
facts that the attack did not train on ("others"), before and after: their extraction strength,
their mean log-probability per token, which shows knowledge that ES hides (docs/log), and, where
prompts are given, which facts any of k prompts brings out (Success@k). A gain alone decides
nothing: unlearned models start below models that never knew the facts, so compare the level after
an attack with that of the retained model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple, cast

import numpy as np

from lacuna.data.tokens import Encoded
from lacuna.evaluate import metrics
from lacuna.evaluate.memorisation import Asked
from lacuna.evaluate.token_pass import read
from lacuna.model_types import PreTrainedModel
from lacuna.results import AttackRecord

Ask = Callable[[PreTrainedModel, Sequence[Asked]], tuple[str, ...]]
"""Returns the ids of the facts that any of their prompts brings out of the model."""


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
    k: int | None = None
    """Largest number of prompts per fact behind the leaked sets; None where no prompts were used.
    """
    leaked_before: tuple[str, ...] | None = None
    """The others' facts that any of k prompts brought out."""
    leaked_after: tuple[str, ...] | None = None
    leaked_overlap: float | None = None
    """Jaccard index of the two leaked sets; None where both are empty."""
    success_before: float | None = None
    """Success@k: share of the others' facts in the leaked set."""
    success_after: float | None = None
    start_level: float | None = None
    """Forget level that a matched start was looked for at; None: the model as it was given."""
    start_alpha: float | None = None
    """Mixing weight of the matched start."""
    start_es: float | None = None
    """Forget ES of the matched start."""
    start_retain_es: float | None = None
    only_before: int | None = None
    """Facts told whole in the usual wording alone; only of attacks that reword."""
    only_after: int | None = None
    """Facts told whole in the attacker's wording alone."""
    wording_p: float | None = None
    """McNemar's test of the two, two-sided."""

    def to_json(self) -> AttackRecord:
        """Plain JSON values, under the same names."""
        return cast(AttackRecord, asdict(self))


@dataclass(frozen=True)
class Wording:
    """Facts in the attacker's wording, and the same facts in the wording that was forgotten."""

    usual: Sequence[Encoded]
    other: Sequence[Encoded]


@dataclass(frozen=True)
class Facts:
    """Forget questions, split into those the attacker trains on and those that are measured."""

    attacked: Sequence[Encoded]
    others: Sequence[Encoded]
    end_token: int | None
    outside: bool = False
    """Attacked people are not among the forgotten (LACUNA's relearning split)."""
    attacked_asked: Sequence[Asked] = ()
    others_asked: Sequence[Asked] = ()
    ask: Ask | None = None
    wordings: Mapping[str, Wording] = field(default_factory=dict)
    """Attack name -> forgotten facts in other words."""

    @property
    def all(self) -> list[Encoded]:
        """All forget questions, those of attacked people first."""
        return [*self.others] if self.outside else [*self.attacked, *self.others]

    def spared(self) -> "Facts":
        """The same facts with no attacked people: all forgotten people are measured."""
        asked = () if self.outside else self.attacked_asked
        everybody = [*asked, *self.others_asked]
        return replace(self, attacked=(), others=self.all, others_asked=everybody)


class Level(NamedTuple):
    """How well a model knows the facts that are measured."""

    es: float
    logp: float
    leaked: tuple[str, ...] | None


def recalls(
    model: PreTrainedModel, texts: Sequence[Encoded], end_token: int | None
) -> tuple[metrics.Floats, metrics.Floats]:
    """ES and mean log-probability per token of each question."""
    table = read(model, texts, end_token=end_token, spread=False)
    return metrics.extraction_strength(table), metrics.mean_logp(table)


def recall(
    model: PreTrainedModel, texts: Sequence[Encoded], end_token: int | None
) -> tuple[float, float]:
    """Mean ES and mean log-probability per token over questions."""
    strength, logp = recalls(model, texts, end_token)
    return float(np.nanmean(strength)), float(np.nanmean(logp))


def level(model: PreTrainedModel, facts: Facts) -> Level:
    """How well the model knows the others, and which of their facts its answers give away."""
    said = None if facts.ask is None else facts.ask(model, facts.others_asked)
    return Level(*recall(model, facts.others, facts.end_token), said)


def outcome(
    attack: str,
    facts: Facts,
    before: Level,
    after: Level,
    *,
    lr: float | None = None,
    attacked_es: float | None = None,
) -> Outcome:
    """The record of one attack."""
    asked = len(facts.others_asked)
    return Outcome(
        attack=attack,
        lr=lr,
        n_attacked=len(facts.attacked),
        n_others=len(facts.others),
        attacked_es_after=attacked_es,
        others_es_before=before.es,
        others_es_after=after.es,
        others_logp_before=before.logp,
        others_logp_after=after.logp,
        k=None if facts.ask is None else max(len(a.prompts) for a in facts.others_asked),
        leaked_before=before.leaked,
        leaked_after=after.leaked,
        leaked_overlap=jaccard(before.leaked, after.leaked),
        success_before=None if before.leaked is None else len(before.leaked) / asked,
        success_after=None if after.leaked is None else len(after.leaked) / asked,
    )


def jaccard(first: Sequence[str] | None, second: Sequence[str] | None) -> float | None:
    """Size of the intersection over that of the union; None where a set is missing or both are
    empty."""
    if first is None or second is None or not {*first, *second}:
        return None
    return len({*first} & {*second}) / len({*first, *second})
