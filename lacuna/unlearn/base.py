"""What an unlearning objective sees, and what it must give.

An objective is one file: formula and source on top, its `Config` with vetted defaults, a loss on
named inputs, registered under its name. The loop, the sweep and the report are not edited for it.
Shapes: B sequences, T tokens, N labelled tokens, V vocabulary, D width.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lacuna.data.tokens import Batch
from lacuna.errors import UserError
from lacuna.model.forward import Answers, answers
from lacuna.registry import Registry
from lacuna.train import Loss, mean_nll


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What every objective takes."""

    retain_weight: float = 1.0
    """Weight of the retain NLL; 0 leaves it out."""

    def __post_init__(self) -> None:
        require(self.retain_weight >= 0, "retain_weight", self.retain_weight, "0 or more")


def require(holds: bool, name: str, value: object, allowed: str) -> None:
    """Raise `UserError` unless an option is in range."""
    if not holds:
        raise UserError(f"option {name}={value}: must be {allowed}")


@dataclass(frozen=True)
class Reference:
    """What the model said before unlearning, computed once.

    Sums of -log p over each example's answer: (number of examples,) float64.
    """

    forget_nll: Tensor
    refusal_nll: Tensor | None = None


@dataclass
class Step:
    """One step's batches, and lazily what the current model says of them."""

    model: PreTrainedModel
    forget: Batch
    retain: Batch | None
    refusal: Batch | None
    """The forget questions with "I don't know" answers, row for row."""
    reference: Reference
    frozen: "Frozen"

    @cached_property
    def forget_said(self) -> Answers:
        """The current model on the forget batch."""
        return answers(self.model, self.forget)

    @cached_property
    def refusal_said(self) -> Answers:
        """The current model on the refusals."""
        assert self.refusal is not None, "objective lacks needs_refusals = True"
        return answers(self.model, self.refusal)

    @property
    def forget_reference_B(self) -> Tensor:
        """Reference sum of -log p for the forget batch's rows."""
        return _rows(self.reference.forget_nll, self.forget)

    @property
    def refusal_reference_B(self) -> Tensor:
        """Reference sum of -log p for the refusals' rows."""
        assert self.reference.refusal_nll is not None and self.refusal is not None
        return _rows(self.reference.refusal_nll, self.refusal)

    @cached_property
    def retain_nll(self) -> Tensor:
        """Token-mean -log p of the retain batch."""
        assert self.retain is not None, "objective needs a retain batch (retain_weight > 0)"
        return mean_nll(answers(self.model, self.retain))

    def with_retain(self, forget: Tensor, weight: float) -> Loss:
        """`forget` plus the weighted retain term; skips the retain pass at weight 0."""
        if weight == 0:
            return Loss(forget, {"loss/forget": forget.detach()})
        return Loss(
            forget + weight * self.retain_nll,
            {"loss/forget": forget.detach(), "loss/retain": self.retain_nll.detach()},
        )


def _rows(values: Tensor, batch: Batch) -> Tensor:
    return values[batch.index_B.to(values.device)].to(batch.ids_BT.device)


@dataclass(frozen=True)
class Frozen:
    """Ways to ask an earlier model, without gradients, for whatever is not precomputed."""

    original: Callable[[Callable[[PreTrainedModel], Tensor]], Tensor]
    """Runs a function on the model as it was before unlearning. Ask before the current model runs:
    weights are swapped in place, which a pending backward pass would notice."""
    retained: PreTrainedModel | None = None
    """The model that never saw the forget facts, for objectives that say `needs_retained`."""
    generator: torch.Generator = field(default_factory=torch.Generator)
    """Seeded for this trial."""


class Method:
    """What unlearns: an `Objective` to minimise, or an `Edit` (`lacuna.unlearn.edit`) to apply."""

    Config: ClassVar[type[Any]]
    rates: ClassVar[tuple[float, ...]] = ()
    """Learning rates to try where the recipe names none."""
    needs_refusals: ClassVar[bool] = False
    """Wants "I don't know" answers to the forget questions."""
    needs_retained: ClassVar[bool] = False
    """Wants the retained model (a privilege that only this testbed can grant)."""
    needs_reference: ClassVar[bool] = False
    """Wants the injected model's log-probabilities."""

    def __init__(self, config: Any) -> None:
        self.config = config


class Objective(Method):
    """Base class: subclasses define `Config` and `loss`."""

    Config: ClassVar[type[ObjectiveConfig]] = ObjectiveConfig
    config: ObjectiveConfig

    def prepare(self, model: PreTrainedModel, generator: torch.Generator) -> None:
        """Called once before the first step, with the injected model."""

    def loss(self, step: Step) -> Loss:
        """The scalar to minimise."""
        raise NotImplementedError

    @property
    def uses_retain(self) -> bool:
        """Whether a retain batch is read at each step."""
        return self.config.retain_weight > 0


OBJECTIVES: Registry[type[Method]] = Registry("objective")
