"""LoRA relearning: adapters on every linear layer, trained on other people's facts (LACUNA).

Recorded protocol: r 16, alpha 8, dropout 0.1 on all 7 projections; 10 epochs, batch 64, AdamW at
1.5e-4 with cosine schedule, 10% warm-up and decay 0.1; the checkpoint of the best evaluation loss
counts, on a fifth of the attacker's questions. The adapters come off afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from transformers import PreTrainedModel

from lacuna.attack.base import Facts, Outcome, level, recall
from lacuna.attack.relearn import tuned
from lacuna.data.tokens import Encoded
from lacuna.errors import UserError
from lacuna.seeds import derive, torch_generator
from lacuna.train import Editable, LoraShape, Strategy, TrainConfig, Values, lora


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """The attacker's adapters and training."""

    shape: LoraShape = field(default_factory=lambda: LoraShape(rank=8, alpha=16, dropout=0.0))
    """Adapters; the default fits the embedded model, `LoraShape()` has LACUNA's."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(steps=40, schedule="constant"))
    """Steps and batch size; rates are listed in `attack.lora_lrs`."""
    epochs: int = 0
    """Passes over the attacker's questions, in place of `train.steps`; 0 takes the steps."""
    eval_share: float = 0.0
    """Share of the attacker's questions kept to choose a checkpoint by; 0 takes the last one."""

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise UserError(f"attack.lora.epochs={self.epochs}: use 0 or more")
        if not 0 <= self.eval_share < 1:
            raise UserError(f"attack.lora.eval_share={self.eval_share}: use 0 to below 1")


class Best(Strategy):
    """Keeps the weights of the highest log-probability on `texts`, read every `every` steps."""

    def __init__(
        self, model: PreTrainedModel, texts: Sequence[Encoded], end: int | None, every: int
    ) -> None:
        self.model, self.texts, self.end, self.every = model, texts, end, every
        self.logp, self.values = -float("inf"), Values()

    def after_step(self, weights: Editable, done: int, steps: int) -> None:
        """Look at the weights after each epoch and at the end."""
        if done % self.every and done != steps:
            return
        logp = recall(self.model, self.texts, self.end)[1]
        if logp > self.logp:
            self.logp, self.values = logp, weights.read()

    def after_training(self, weights: Editable) -> None:
        """Go back to the best."""
        weights.write(self.values)


def relearn_lora(
    model: PreTrainedModel, facts: Facts, config: LoraConfig, lr: float, seed: int
) -> Outcome:
    """Train adapters on the attacked people's facts and measure the others."""
    before = level(model, facts)
    known, kept = _cut(facts.attacked, config.eval_share, seed)
    epoch = -(-len(known) // config.train.batch_size)
    train = replace(config.train, lr=lr)
    if config.epochs:
        train = replace(train, steps=config.epochs * epoch)
    with lora(model, config.shape, derive(seed, "attack", "lora", "adapters")) as weights:
        choose = Best(model, kept, facts.end_token, epoch) if kept else Strategy()
        loss_seed = derive(seed, "attack", "lora")
        return tuned(model, weights, "lora", known, facts, before, train, loss_seed, choose)


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
