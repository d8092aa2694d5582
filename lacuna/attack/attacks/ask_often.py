"""Asking often: the forgotten facts that any of k prompts brings out (Success@k; LACUNA: 200).

No weight moves. `before` is the first of the k prompts, `after` all of them.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from lacuna.attack.base import ATTACKS, Attack, AttackInputs
from lacuna.attack.config import AttackConfig
from lacuna.attack.outcome import Level, Outcome, outcome, recall
from lacuna.costs import Workload


@ATTACKS.register("ask_often")
class AskOften(Attack):
    """Success@1 and Success@k of all forgotten facts on the model as it is: `prompts`."""

    @dataclass(frozen=True)
    class Config:
        """No options: the number of prompts is `attack.success_k`, which all attacks share."""

    off: ClassVar[str] = "attack.success_k=0"

    @classmethod
    def options(cls, study: AttackConfig) -> Config | None:
        """Runs where a study sets `success_k`."""
        return cls.Config() if study.success_k else None

    def run(self, given: AttackInputs) -> list[Outcome]:
        """One outcome; none where the data has nothing to ask for."""
        model, facts = given.model, given.facts.spared()
        if facts.ask is None:
            return []
        once = [replace(asked, prompts=asked.prompts[:1]) for asked in facts.others_asked]
        strength, logp = recall(model, facts.others, facts.end_token)
        before = Level(strength, logp, facts.ask(model, once))
        after = Level(strength, logp, facts.ask(model, facts.others_asked))
        return [outcome("prompts", facts, before, after)]

    def work(self, load: Workload, level: float) -> float:
        """One reading, and all prompts."""
        return level
