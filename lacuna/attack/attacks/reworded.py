"""Rewording: the same facts in wordings that nobody trained on, and the beginnings of sentences.

No weight moves. `before` is the wording that was forgotten, `after` the attacker's, of the same
facts; knowledge that unlearning hid behind one wording shows as a gain. `only_before` and
`only_after` count the facts told whole (ES 1) in one of the two wordings alone, and `wording_p` is
McNemar's test of the two (C-BOD, arXiv:2502.07445; `lacuna.attack.wordings`).
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from lacuna.attack.base import ATTACKS, Attack, AttackInputs
from lacuna.attack.config import AttackConfig
from lacuna.attack.outcome import Level, Outcome, outcome, recalls
from lacuna.attack.wordings import mcnemar
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
        usual, other = (
            recalls(model, texts, facts.end_token) for texts in (wording.usual, wording.other)
        )
        levels = [
            Level(float(np.nanmean(es)), float(np.nanmean(logp)), None)
            for es, logp in (usual, other)
        ]
        measured = replace(facts, attacked=(), others=wording.other, others_asked=(), ask=None)
        told, retold = usual[0] == 1, other[0] == 1
        first, second = int((told & ~retold).sum()), int((retold & ~told).sum())
        return replace(
            outcome(name, measured, *levels),
            only_before=first,
            only_after=second,
            wording_p=mcnemar(first, second).p,
        )

    def work(self, load: Workload, level: float) -> float:
        """Every fact in both wordings; data with several paraphrases of a fact takes more."""
        return WORDINGS * 2 * READ * load.forget.tokens
