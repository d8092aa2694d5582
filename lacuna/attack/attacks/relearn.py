"""Relearning: train all weights on some people for a moment, and measure the others.

What comes back that was not trained on was never gone.
"""

from typing import ClassVar

from lacuna.attack.base import ATTACKS, AttackInputs
from lacuna.attack.config import AttackConfig
from lacuna.attack.outcome import Outcome
from lacuna.attack.training import FullTraining, TrainedConfig
from lacuna.costs import READ, Workload
from lacuna.seeds import derive


@ATTACKS.register("relearn")
class Relearn(FullTraining):
    """Full-parameter training on the attacked people's facts."""

    off: ClassVar[str] = "attack.relearn_lrs=[]"
    knows_people: ClassVar[bool] = True
    matched: ClassVar[bool] = True

    @classmethod
    def options(cls, study: AttackConfig) -> TrainedConfig | None:
        """Runs where a study lists learning rates for it."""
        lrs = study.relearn_lrs
        return TrainedConfig(train=study.train, lrs=lrs) if lrs else None

    def run(self, given: AttackInputs) -> list[Outcome]:
        """One outcome for each rate."""
        seed, facts = derive(given.seed, "attack", "relearn"), given.facts
        return [
            self.train(given.model, "relearn", facts.attacked, facts, lr, seed)
            for lr in self.config.lrs
        ]

    def work(self, load: Workload, level: float) -> float:
        """Training, and how well the attacked facts were learned."""
        asked_again = len(self.config.lrs) * READ * load.forget.tokens
        return self.trained(load.forget, level) + asked_again
