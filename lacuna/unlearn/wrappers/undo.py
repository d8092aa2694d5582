r"""UNDO: unlearn, noise, distil (Lee et al. 2025, arXiv:2506.06278).

    theta <- (1 - a) theta_u + a b N,   N Xavier-uniform
    then descend mean_t KL(p_u || p) over every token of retain and neutral text

theta_u are the weights that the objective ends at, p_u their predictions: what the noise destroys
is taught again from the unlearned model's own behaviour, which no longer has the facts. Noise and
distillation stay in the weights that unlearning may change, and gains of norms keep theirs. The
distillation takes the trial's training configuration, `steps` and `rate` times. Published are a
from .1 to .8, b = .1, and an end by retain loss instead of by steps. Limits: a = 0 is the objective
alone; without steps and at a = 1 matrices hold noise of scale b.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lacuna.costs import Workload
from lacuna.data.tokens import IGNORE, Batch, Encoded, TrainingBatches
from lacuna.model.forward import answers
from lacuna.seeds import derive, torch_generator
from lacuna.train import Editable, Loss, Values, mean_kl, swapped, train
from lacuna.unlearn.base import UnlearnData, require
from lacuna.unlearn.wrappers.base import WRAPPERS, Start, Wrapper


@WRAPPERS.register("undo")
class Undo(Wrapper):
    """Damage the weights, and teach them again what the unlearned model says."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How much noise, and how long it is repaired."""

        noise: float = 0.3
        """a: share of the weights that noise replaces (0 to 1)."""
        scale: float = 0.1
        """b: scale of the noise (0 or more)."""
        steps: float = 1.0
        """Steps of distillation, in those of unlearning (0 or more)."""
        rate: float = 1.0
        """Peak learning rate of distillation, in that of unlearning (0 or more)."""

        def __post_init__(self) -> None:
            require(0 <= self.noise <= 1, "noise", self.noise, "from 0 to 1")
            for name in ("scale", "steps", "rate"):
                require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")

    config: Config
    copies = 2

    def data(self, start: Start) -> UnlearnData:
        """The same texts, which are also distilled on."""
        self.start = start
        return start.data

    def scoring(self, load: Workload, gradient: float) -> float:
        """Nothing before the first step."""
        return 0.0

    def after_training(self, weights: Editable) -> None:
        """Noise, and distillation from the weights as they are."""
        if self.config.noise == 0:
            return
        model, given = self.start.model, self.start.config
        teacher = weights.read()
        self._shake(weights)
        texts = [_every_token(text) for text in (*self.start.data.retain, *self.start.data.neutral)]
        batches = TrainingBatches(texts, given.batch_size, derive(self.start.seed, "undo"))
        config = replace(
            given, steps=round(self.config.steps * given.steps), lr=self.config.rate * given.lr
        )

        def loss(i: int) -> Loss:
            batch: Batch = batches[i].to(model.device)
            with torch.no_grad(), swapped(weights, teacher):
                wanted_NV = answers(model, batch).logits_NV
            return Loss(mean_kl(answers(model, batch).logits_NV, wanted_NV))

        train(model, weights, loss, config)

    @torch.no_grad()
    def _shake(self, weights: Editable) -> None:
        generator = torch_generator(self.start.seed, "undo noise")
        kept, noise = 1 - self.config.noise, self.config.noise * self.config.scale
        drawn: Values = {}
        for name, master in weights.masters.items():
            bound = self._bound(name)
            uniform = torch.rand(master.shape, generator=generator).to(master)
            drawn[name] = (
                master if bound is None else kept * master + noise * bound * (2 * uniform - 1)
            )
        for name, value in drawn.items():
            weights.masters[name].copy_(value)
        weights.write_back()

    def _bound(self, name: str) -> float | None:
        """Xavier's bound for a matrix, None for what is none."""
        parameters = dict(self.start.model.named_parameters())
        weight: Tensor = parameters[name if name in parameters else f"{name}.weight"]
        return math.sqrt(6 / sum(weight.shape)) if weight.dim() == 2 else None


def _every_token(text: Encoded) -> Encoded:
    return Encoded(text.ids, [IGNORE, *text.ids[1:]])
