"""Relearning: train all parameters for a moment and see what comes back that was not trained.

`relearn` trains on some forgotten people and measures the others; `benign` trains on retain facts,
as any later fine-tuning would, and measures all forgotten people.
"""

from collections.abc import Sequence
from dataclasses import replace

from transformers import PreTrainedModel

from lacuna.attack.base import Facts, Outcome, recall
from lacuna.data.tokens import Encoded
from lacuna.seeds import derive
from lacuna.train import AllWeights, TrainConfig, language_loss, train


def relearn(
    model: PreTrainedModel, facts: Facts, config: TrainConfig, lr: float, seed: int
) -> Outcome:
    """Full-parameter training on the attacked people's facts."""
    return _tuned(model, "relearn", facts.attacked, facts.attacked, facts.others, facts, config, lr, seed)


def benign(
    model: PreTrainedModel,
    facts: Facts,
    retain: Sequence[Encoded],
    config: TrainConfig,
    lr: float,
    seed: int,
) -> Outcome:
    """Full-parameter training on retain facts only."""
    return _tuned(model, "benign", retain, (), facts.all, facts, config, lr, seed)


def _tuned(
    model: PreTrainedModel,
    name: str,
    texts: Sequence[Encoded],
    attacked: Sequence[Encoded],
    others: Sequence[Encoded],
    facts: Facts,
    config: TrainConfig,
    lr: float,
    seed: int,
) -> Outcome:
    before = recall(model, others, facts.end_token)
    weights = AllWeights(model)
    kept = weights.read()
    loss = language_loss(model, texts, config.batch_size, derive(seed, "attack", name))
    try:
        train(model, weights, loss, replace(config, lr=lr))
        after = recall(model, others, facts.end_token)
        again = recall(model, attacked, facts.end_token)[0] if attacked else None
    finally:
        weights.write(kept)
    return Outcome(
        attack=name,
        lr=lr,
        n_attacked=len(attacked),
        n_others=len(others),
        attacked_es_after=again,
        others_es_before=before[0],
        others_es_after=after[0],
        others_logp_before=before[1],
        others_logp_after=after[1],
    )
