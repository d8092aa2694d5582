r"""Forced logits: a teacher from which the facts are taken away (E2URec, arXiv:2403.03536).

    L = mean_t CE(q_t, p_t) + w L_retain,    q = softmax(z^0 - a max(z^+ - z^0, 0))

z^0 are the injected model's logits on the forget answers, z^+ those of the model trained further on
the forget texts, in the weights that unlearning may change: whatever that raises is what the facts
are, and is lowered. Bounded, as the target is fixed. The paper is about recommenders (T5, LoRA) and
mixes both terms .6 to .4 after an epoch of the forget term alone; here w weighs retain, and a is
five times theirs: facts known by heart leave little to raise. `Who's
Harry Potter` (arXiv:2310.02238) makes its targets in the same way. Limits: a = 0, and no further
training, have no slope at the injected model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from lacuna.costs import READ, Workload
from lacuna.model import answers, wide
from lacuna.model_types import PreTrainedModel
from lacuna.seeds import derive
from lacuna.train import AllWeights, Editable, TrainConfig, language_loss, swapped, train
from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step, UnlearnData, require
from lacuna.unlearn.retain import AskOriginal, View

BATCH = 16
"""Texts of a step of the further training."""


@OBJECTIVES.register("forced_logits")
class ForcedLogits(Objective):
    """Imitate the injected model, less what more training on the facts would add."""

    needs_original: ClassVar[bool] = True
    spreads: ClassVar[bool] = False  # holds the reinforced weights
    copies: ClassVar[int] = 2

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """How much is taken away, and how the reinforced model is trained."""

        strength: float = 10.0
        """a: how often the rise of a logit is subtracted (0 or more; the paper: 2)."""
        reinforce_lr: float | None = None
        """Peak learning rate of the further training (0 or more; null: 1e-3, in a region 2e-2)."""
        reinforce_steps: int = 20
        """Steps of the further training, of 16 texts each (0 or more)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in ("strength", "reinforce_lr", "reinforce_steps"):
                value = getattr(self, name)
                require(value is None or value >= 0, name, value, "0 or more")

    config: Config

    @contextmanager
    def trained(
        self, model: PreTrainedModel, weights: Editable, data: UnlearnData, seed: int
    ) -> Iterator[Editable]:
        """The same weights; the reinforced model's values are kept beside them."""
        lr = self.config.reinforce_lr
        if lr is None:  # in a region gradients reach every weight on its own
            lr = 1e-3 if isinstance(weights, AllWeights) else 2e-2
        config = TrainConfig(lr=lr, steps=self.config.reinforce_steps, batch_size=BATCH)
        before = weights.read()
        masters = {name: value.detach().clone() for name, value in weights.masters.items()}
        loss = language_loss(model, data.forget, BATCH, derive(seed, "reinforce"))
        train(model, weights, loss, config)
        self.reinforced: AskOriginal = _asker(model, weights)
        with torch.no_grad():
            for name, value in masters.items():
                weights.masters[name].copy_(value)
        weights.write(before)
        yield weights

    def forget_loss(self, step: Step) -> Tensor:
        """Cross-entropy against the forced distributions."""

        def view(model: PreTrainedModel) -> Tensor:
            return wide(answers(model, step.forget).logits_NV)

        before_NV = step.original(
            view
        )  # both before the current model runs, as weights are swapped
        raised_NV = (step.original(lambda _: self.reinforced(view)) - before_NV).clamp_min(0)
        wanted_NV = (before_NV - self.config.strength * raised_NV).softmax(dim=-1)
        return F.cross_entropy(wide(step.forget_said.logits_NV), wanted_NV)

    def work(self, load: Workload, train: TrainConfig, gradient: float) -> float:
        """The objective's own, the further training, and another reading a step."""
        further = gradient * load.forget.drawn(self.config.reinforce_steps * BATCH)
        return super().work(load, train, gradient) + further + READ * load.forget.drawn(train.texts)


def _asker(model: PreTrainedModel, weights: Editable) -> AskOriginal:
    """Applies views to the model with the weights that it has now."""
    now = weights.read()

    @torch.no_grad()
    def ask(view: View) -> Tensor:
        with swapped(weights, now):
            return view(model)

    return ask
