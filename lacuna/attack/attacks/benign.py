"""Benign training: train all weights on retain facts, as any later fine-tuning would.

Nobody who was forgotten is trained on, so all of them are measured.
"""

from typing import ClassVar

from lacuna.attack.base import ATTACKS, AttackInputs
from lacuna.attack.config import AttackConfig
from lacuna.attack.outcome import Outcome
from lacuna.attack.training import FullTraining, TrainedConfig
from lacuna.costs import Workload
from lacuna.seeds import derive


@ATTACKS.register("benign")
class Benign(FullTraining):
    """Full-parameter training on retain facts only."""

    off: ClassVar[str] = "attack.benign_lrs=[]"

    @classmethod
    def options(cls, study: AttackConfig) -> TrainedConfig | None:
        """Runs where a study lists learning rates for it."""
        lrs = study.benign_lrs
        return TrainedConfig(train=study.train, lrs=lrs) if lrs else None

    def run(self, given: AttackInputs) -> list[Outcome]:
        """One outcome for each rate."""
        seed, facts = derive(given.seed, "attack", "benign"), given.facts.spared()
        return [
            self.train(given.model, "benign", given.retain, facts, lr, seed)
            for lr in self.config.lrs
        ]

    def work(self, load: Workload, level: float) -> float:
        """Training."""
        return self.trained(load.retain, level)
