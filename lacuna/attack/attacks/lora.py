"""LoRA relearning: adapters on every linear layer, trained on other people's facts (LACUNA).

Recorded protocol: r 16, alpha 8, dropout 0.1 on all 7 projections; 10 epochs, batch 64, AdamW at
1.5e-4 with cosine schedule, 10% warm-up and decay 0.1; the checkpoint of the best evaluation loss
counts, on a fifth of the attacker's questions. The adapters come off afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch

from lacuna.attack.base import ATTACKS, Attack, AttackInputs
from lacuna.attack.config import AttackConfig, LoraConfig
from lacuna.attack.outcome import Outcome, level, recall
from lacuna.attack.training import tuned
from lacuna.costs import READ, REGION, Workload
from lacuna.data.tokens import Encoded
from lacuna.model_types import PreTrainedModel
from lacuna.seeds import derive, torch_generator
from lacuna.train import Editable, Strategy, Values, lora


@ATTACKS.register("lora")
class LoraRelearn(Attack):
    """Train adapters on the attacked people's facts."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Adapters and rates."""

        lora: LoraConfig = field(default_factory=LoraConfig)
        """Adapters, steps and checkpoint."""
        lrs: tuple[float, ...] = ()
        """Rates, an attack each."""

    config: Config
    off: ClassVar[str] = "attack.lora_lrs=[]"
    knows_people: ClassVar[bool] = True
    matched: ClassVar[bool] = True

    @classmethod
    def options(cls, study: AttackConfig) -> Config | None:
        """Runs where a study lists learning rates for it."""
        lrs = study.lora_lrs
        return cls.Config(lora=study.lora, lrs=lrs) if lrs else None

    def run(self, given: AttackInputs) -> list[Outcome]:
        """One outcome for each rate."""
        return [self._relearn(given, lr) for lr in self.config.lrs]

    def _relearn(self, given: AttackInputs, lr: float) -> Outcome:
        model, facts, seed, config = given.model, given.facts, given.seed, self.config.lora
        before = level(model, facts)
        known, kept = _cut(facts.attacked, config.eval_share, seed)
        epoch = -(-len(known) // config.train.batch_size)
        train = config.train.at(lr)
        if config.epochs:
            train = replace(train, steps=config.epochs * epoch)
        with lora(model, config.shape, derive(seed, "attack", "lora", "adapters")) as weights:
            choose = Best(model, kept, facts.end_token, epoch) if kept else Strategy()
            loss_seed = derive(seed, "attack", "lora")
            return tuned(model, weights, "lora", known, facts, before, train, loss_seed, choose)

    def work(self, load: Workload, level: float) -> float:
        """Gradients of adapters; the others before and after, the attacked after."""
        config, forget = self.config.lora, load.forget
        texts = config.epochs * forget.count if config.epochs else config.train.texts
        once = REGION * forget.drawn(texts) + 2 * level + READ * forget.tokens
        return len(self.config.lrs) * once


class Best(Strategy):
    """Keeps the weights of the highest log-probability on `texts`, read every `every` steps."""

    def __init__(
        self, model: PreTrainedModel, texts: Sequence[Encoded], end: int | None, every: int
    ) -> None:
        self.model, self.texts, self.end, self.every = model, texts, end, every
        self.logp, self.values = -float("inf"), Values()

    def after_step(self, weights: Editable, done: int, steps: int) -> None:
        """Measure the weights after each epoch and at the end."""
        if done % self.every and done != steps:
            return
        logp = recall(self.model, self.texts, self.end)[1]
        if logp > self.logp:
            self.logp, self.values = logp, weights.read()

    def after_training(self, weights: Editable) -> None:
        """Restore the best weights."""
        weights.write(self.values)


def _cut(
    texts: Sequence[Encoded], share: float, seed: int
) -> tuple[Sequence[Encoded], list[Encoded]]:
    """The texts to train on and those to choose by."""
    generator = torch_generator(seed, "attack", "lora", "eval")
    order = torch.randperm(len(texts), generator=generator).tolist()
    count = min(round(share * len(texts)), len(texts) - 1)
    kept = set(order[:count])
    return (
        [text for place, text in enumerate(texts) if place not in kept],
        [text for place, text in enumerate(texts) if place in kept],
    )
