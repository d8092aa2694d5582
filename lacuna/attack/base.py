"""What an attack may look at, and what it must return: its outcomes and its cost.

An attack is one file: method and source on top, its `Config`, `run`, and its cost. The library's
own attacks read their options from keys of `AttackConfig`; an attack of another package runs where
a study names it in `attack.extra`, with its options.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from lacuna.attack.config import AttackConfig
from lacuna.attack.outcome import Facts, Outcome
from lacuna.costs import Workload
from lacuna.data.tokens import Encoded
from lacuna.errors import UserError
from lacuna.model_types import PreTrainedModel
from lacuna.registry import Registry, Revised
from lacuna.train import Editable, Values


@dataclass(frozen=True)
class MixingPath:
    """The mixing curve that a matched start is looked for on; the model stands at `end`."""

    weights: Editable
    start: Values
    end: Values


@dataclass(frozen=True)
class AttackInputs:
    """What an attack may look at."""

    model: PreTrainedModel
    """An attack that changes it restores it, bit by bit, before `run` returns or raises."""
    facts: Facts
    retain: Sequence[Encoded]
    seed: int
    way: MixingPath | None = None
    """What unlearning moved, and from where; None of a model that was not unlearned."""


class Attack(Revised):
    """Base class: subclasses define `Config` and `run`, and what they cost."""

    Config: ClassVar[type[Any]]
    knows_people: ClassVar[bool] = False
    """Trains on the facts of some forgotten people (`Facts.attacked`), so the data needs at least
    two."""
    off: ClassVar[str] = ""
    """Setting that leaves it out of a study, for messages; empty for an attack of `attack.extra`.
    """
    matched: ClassVar[bool] = False
    """Repeated from a matched start, where the study asks for one."""
    trains_all: ClassVar[bool] = False
    """Trains all weights, and so takes the memory of a full training."""
    copies: ClassVar[int] = 0
    """Copies of all weights, as wide as the model's, that it holds beside the model; for plans."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @classmethod
    def options(cls, study: AttackConfig) -> Any | None:
        """Its `Config`, from its keys in a study's `AttackConfig`; None where the study leaves it
        out."""
        return None

    def run(self, given: AttackInputs) -> list[Outcome]:
        """Attack, measure, and put the model back."""
        raise NotImplementedError

    def work(self, load: Workload, level: float) -> float:
        """Passes that it takes, for plans (`lacuna.costs`); `level` is the number that one
        `outcome.level` takes."""
        return 0.0


ATTACKS: Registry[type[Attack]] = Registry("attack")


def asked(study: AttackConfig) -> dict[str, Attack]:
    """The attacks of a study by name, ready to run, in the order of the registry.

    Raises `UserError` where `study.extra` names an attack that does not exist or has keys of its
    own.
    """
    for name in study.extra:
        if off := ATTACKS[name].off:
            key = off.partition("=")[0]
            raise UserError(f"attack.extra.{name}: this attack is asked for by {key}: use that")
    options = {name: study.extra.get(name, each.options(study)) for name, each in ATTACKS.items()}
    return {name: ATTACKS[name](given) for name, given in options.items() if given is not None}


def leave_out(attacks: Mapping[str, Attack]) -> str:
    """The settings that run a study without these attacks."""
    return " ".join(each.off or f"~attack.extra.{name}" for name, each in attacks.items())
