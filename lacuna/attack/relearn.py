"""Relearning: train all parameters for a moment and see what comes back that was not trained.

`relearn` trains on some people and measures the others; `benign` trains on retain facts, as any
later fine-tuning would, and measures all forgotten people.
"""

from collections.abc import Sequence
from dataclasses import replace

from transformers import PreTrainedModel

from lacuna.attack.base import Facts, Level, Outcome, level, outcome, recall
from lacuna.data.tokens import Encoded
from lacuna.seeds import derive
from lacuna.train import AllWeights, Strategy, TrainConfig, language_loss, train
from lacuna.train.loop import NO_STRATEGY
from lacuna.train.weights import Editable


def relearn(
    model: PreTrainedModel, facts: Facts, config: TrainConfig, lr: float, seed: int
) -> Outcome:
    """Full-parameter training on the attacked people's facts."""
    loss_seed = derive(seed, "attack", "relearn")
    return _tuned(model, "relearn", facts.attacked, facts, replace(config, lr=lr), loss_seed)


def benign(
    model: PreTrainedModel,
    facts: Facts,
    retain: Sequence[Encoded],
    config: TrainConfig,
    lr: float,
    seed: int,
) -> Outcome:
    """Full-parameter training on retain facts only; every forgotten person is measured."""
    loss_seed = derive(seed, "attack", "benign")
    return _tuned(model, "benign", retain, facts.spared(), replace(config, lr=lr), loss_seed)


def _tuned(
    model: PreTrainedModel,
    name: str,
    texts: Sequence[Encoded],
    facts: Facts,
    config: TrainConfig,
    seed: int,
) -> Outcome:
    before = level(model, facts)
    weights = AllWeights(model)
    kept = weights.read()
    try:
        return tuned(model, weights, name, texts, facts, before, config, seed)
    finally:
        weights.write(kept)


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
