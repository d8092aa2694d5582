"""Shared by attacks that train the model for a few steps and measure the others."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lacuna.attack.base import Attack
from lacuna.attack.outcome import Facts, Level, Outcome, level, outcome, recall
from lacuna.costs import ALL, Texts
from lacuna.data.tokens import Encoded
from lacuna.model_types import PreTrainedModel
from lacuna.train import (
    AllWeights,
    Editable,
    Optimisation,
    Strategy,
    TrainConfig,
    language_loss,
    train,
)
from lacuna.train.loop import NO_STRATEGY


@dataclass(frozen=True, kw_only=True)
class TrainedConfig:
    """How an attacker trains all weights."""

    train: Optimisation = field(default_factory=Optimisation)
    """Steps and batch size."""
    lrs: tuple[float, ...] = ()
    """Rates, an attack each."""


class FullTraining(Attack):
    """Base class of attacks that train all weights, which are put back from a copy."""

    Config: ClassVar[type[Any]] = TrainedConfig
    trains_all: ClassVar[bool] = True
    copies: ClassVar[int] = 1
    config: TrainedConfig

    def train(
        self,
        model: PreTrainedModel,
        name: str,
        texts: Sequence[Encoded],
        facts: Facts,
        lr: float,
        seed: int,
    ) -> Outcome:
        """Train all weights on `texts`, measure, put them back."""
        before = level(model, facts)
        weights = AllWeights(model)
        kept = weights.read()
        config = self.config.train.at(lr)
        try:
            return tuned(model, weights, name, texts, facts, before, config, seed)
        finally:
            weights.write(kept)

    def trained(self, texts: Texts, level: float) -> float:
        """Passes of all rates: a training on `texts`, and the others before and after."""
        once = ALL * texts.drawn(self.config.train.texts) + 2 * level
        return len(self.config.lrs) * once


def tuned(
    model: PreTrainedModel,
    weights: Editable,
    name: str,
    texts: Sequence[Encoded],
    facts: Facts,
    before: Level,
    config: TrainConfig,
    seed: int,
    strategy: Strategy = NO_STRATEGY,
) -> Outcome:
    """Train `weights` on `texts` and measure; putting the model back is the caller's."""
    loss = language_loss(model, texts, config.batch_size, seed)
    train(model, weights, loss, config, strategy=strategy)
    again = recall(model, facts.attacked, facts.end_token)[0] if facts.attacked else None
    return outcome(name, facts, before, level(model, facts), lr=config.lr, attacked_es=again)
