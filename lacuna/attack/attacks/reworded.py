"""Rewording: the same facts in wordings that nobody trained on, and the beginnings of sentences.

No weight moves. `before` is the wording that was forgotten, `after` the attacker's, of the same
facts; knowledge that unlearning hid behind one wording shows as a gain.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from lacuna.attack.base import ATTACKS, Attack, AttackInputs
from lacuna.attack.config import AttackConfig
from lacuna.attack.outcome import Level, Outcome, outcome, recall
from lacuna.costs import READ, Workload

WORDINGS = 2
"""Kinds of wordings at most: paraphrased questions, and sentences that break off."""


@ATTACKS.register("reworded")
class Reworded(Attack):
    """Ask for forgotten facts in other words: `paraphrase` and `prefix`."""

    @dataclass(frozen=True)
    class Config:
        """No options: the wordings are the data's."""

    off: ClassVar[str] = "attack.wordings=false"

    @classmethod
    def options(cls, study: AttackConfig) -> Config | None:
        """Runs where a study switches it on."""
        return cls.Config() if study.wordings else None

    def run(self, given: AttackInputs) -> list[Outcome]:
        """One outcome for each kind of wording that the data has."""
        return [self._ask(given, name) for name in given.facts.wordings]

    def _ask(self, given: AttackInputs, name: str) -> Outcome:
        model, facts = given.model, given.facts
        wording = facts.wordings[name]
        before = Level(*recall(model, wording.usual, facts.end_token), None)
        after = Level(*recall(model, wording.other, facts.end_token), None)
        measured = replace(facts, attacked=(), others=wording.other, others_asked=(), ask=None)
        return outcome(name, measured, before, after)

    def work(self, load: Workload, level: float) -> float:
        """Every fact in both wordings; data with several paraphrases of a fact takes more."""
        return WORDINGS * 2 * READ * load.forget.tokens
