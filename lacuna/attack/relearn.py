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
    everybody = Facts(attacked=(), others=facts.all, end_token=facts.end_token)
    loss_seed = derive(seed, "attack", "benign")
    return _tuned(model, "benign", retain, everybody, replace(config, lr=lr), loss_seed)


def _tuned(
    model: PreTrainedModel,
    name: str,
    texts: Sequence[Encoded],
    facts: Facts,
    config: TrainConfig,
    seed: int,
) -> Outcome:
    before = recall(model, facts.others, facts.end_token)
    weights = AllWeights(model)
    kept = weights.read()
    try:
        train(model, weights, language_loss(model, texts, config.batch_size, seed), config)
        after = recall(model, facts.others, facts.end_token)
        again = recall(model, facts.attacked, facts.end_token)[0] if facts.attacked else None
    finally:
        weights.write(kept)
    return Outcome(
        attack=name,
        lr=config.lr,
        n_attacked=len(facts.attacked),
        n_others=len(facts.others),
        attacked_es_after=again,
        others_es_before=before[0],
        others_es_after=after[0],
        others_logp_before=before[1],
        others_logp_after=after[1],
    )
