r"""Influence approximation (IAU; arXiv:2507.23257): one step against all texts at once.

    sgd    theta <- theta - s d          d = grad L_retain - grad L_forget
    sign   theta <- theta - s sign(d)    the first step of Adam, as the public code takes it

L is the token-mean NLL over all answers of a split; s is the learning rate. The paper derives d
from influence functions with the Hessian dropped, which leaves one full-batch step of gradient
difference; the public code takes it with Adam, so that every weight moves by s whatever its
gradient. Its penalty on gradient norms during training is not here. Limits: s = 0 is the identity;
texts that are forgotten and retained alike give d = 0.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from lacuna.costs import Workload
from lacuna.train import TrainConfig, Values
from lacuna.unlearn.base import OBJECTIVES, require
from lacuna.unlearn.edits.base import Edit, EditConfig, EditInputs
from lacuna.unlearn.gradients import split_gradient

RULES = ("sign", "sgd")


@OBJECTIVES.register("influence")
class Influence(Edit):
    """Step once, up the facts' loss and down the rest's."""

    rates: ClassVar[tuple[float, ...]] = (1e-3, 3e-3, 1e-2, 1e-1)
    copies: ClassVar[int] = 2

    @dataclass(frozen=True, kw_only=True)
    class Config(EditConfig):
        """How the step is taken."""

        rule: str = "sign"
        """`sign` of the difference of gradients, or the difference itself (`sgd`)."""

        def __post_init__(self) -> None:
            require(self.rule in RULES, "rule", self.rule, " or ".join(RULES))

    config: Config

    def apply(self, given: EditInputs) -> Values:
        """The weights after a step of length 1."""
        with given.weights.training():
            forget, retain = (
                split_gradient(given.model, given.weights, texts)
                for texts in (given.forget, given.retain)
            )
        edited = {name: value.detach().clone() for name, value in given.weights.masters.items()}
        for name, value in edited.items():
            none = torch.zeros_like(value)  # of a weight that the loss does not reach
            step = retain.get(name, none) - forget.get(name, none)
            value -= step.sign() if self.config.rule == "sign" else step
        return edited

    def work(self, load: Workload, train: TrainConfig, gradient: float) -> float:
        """A gradient of every text."""
        return gradient * (load.forget.tokens + load.retain.tokens)
