"""Attacks: relearning, benign training, quantization, prompting; from a matched start too."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedModel

from lacuna.attack.base import (
    Facts,
    Level,
    Outcome,
    Wording,
    jaccard,
    level,
    recall,
)
from lacuna.attack.config import AttackConfig
from lacuna.attack.facts import gather, split_people
from lacuna.attack.lora import LoraConfig, relearn_lora
from lacuna.attack.matched import Start, find_start, mixed
from lacuna.attack.nf4 import nf4_rounded
from lacuna.attack.prompts import ask_often, reworded
from lacuna.attack.quantize import quantize, quantize_nf4, rounded
from lacuna.attack.relearn import benign, relearn
from lacuna.data.tokens import Encoded
from lacuna.train import Editable, Values

__all__ = [
    "AttackConfig",
    "Facts",
    "Level",
    "LoraConfig",
    "Outcome",
    "Start",
    "MixingPath",
    "Wording",
    "ask_often",
    "attack",
    "benign",
    "find_start",
    "gather",
    "jaccard",
    "level",
    "mixed",
    "nf4_rounded",
    "quantize",
    "quantize_nf4",
    "recall",
    "relearn",
    "relearn_lora",
    "reworded",
    "rounded",
    "split_people",
]


@dataclass(frozen=True)
class MixingPath:
    """The mixing curve that a matched start is looked for on; the model stands at `end`."""

    weights: Editable
    start: Values
    end: Values


def attack(
    model: PreTrainedModel,
    facts: Facts,
    retain: Sequence[Encoded],
    config: AttackConfig,
    seed: int,
    way: MixingPath | None = None,
) -> list[Outcome]:
    """Run every configured attack on the model; its weights are the same afterwards.

    A matched start needs a `way`; where it does not cross the level, relearning is not repeated.
    """
    found = _relearning(model, facts, config, seed)
    found += [benign(model, facts, retain, config.train, lr, seed) for lr in config.benign_lrs]
    found += [quantize(model, facts, bits) for bits in config.bits]
    found += [quantize_nf4(model, facts)] if config.nf4 else []
    found += [reworded(model, facts, name) for name in facts.wordings]
    found += [ask_often(model, facts)] if facts.ask is not None else []
    if way is not None and config.matched is not None and config.relearns:
        found += _matched(model, facts, retain, config, seed, way)
    return found


def _relearning(
    model: PreTrainedModel, facts: Facts, config: AttackConfig, seed: int
) -> list[Outcome]:
    full = [relearn(model, facts, config.train, lr, seed) for lr in config.relearn_lrs]
    return full + [relearn_lora(model, facts, config.lora, lr, seed) for lr in config.lora_lrs]


def _matched(
    model: PreTrainedModel,
    facts: Facts,
    retain: Sequence[Encoded],
    config: AttackConfig,
    seed: int,
    way: MixingPath,
) -> list[Outcome]:
    """Relearning from the mixture whose forget ES is `config.matched`."""
    assert config.matched is not None

    def strength() -> float:
        return recall(model, facts.all, facts.end_token)[0]

    ends = way.start, way.end
    start = find_start(strength, way.weights, *ends, config.matched, config.tolerance)
    if start is None:
        return []
    with mixed(way.weights, *ends, start.alpha):
        kept = recall(model, retain, facts.end_token)[0]
        return [
            replace(
                found,
                start_alpha=start.alpha,
                start_es=start.es,
                start_retain_es=kept,
            )
            for found in _relearning(model, facts, config, seed)
        ]
