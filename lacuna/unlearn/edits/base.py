"""Edits: unlearning that writes weights outright instead of minimising a loss.

    theta <- theta + s (edit(theta) - theta),   s = the trial's learning rate

So the learning rate is an edit's strength: 0 is the identity, 1 the edit as published, more
extrapolates. Steps, batch size and the rest of the training configuration matter only to an edit
that says so. Everything else is as for objectives: any region, the mixing curve, the attacks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from lacuna.costs import Workload
from lacuna.data.tokens import Encoded
from lacuna.model_types import PreTrainedModel
from lacuna.train import Diverged, Editable, OnStep, TrainConfig, Values, mix
from lacuna.unlearn.base import Method


@dataclass(frozen=True, kw_only=True)
class EditConfig:
    """Base class of edits' options; there are no common ones."""


@dataclass(frozen=True)
class EditInputs:
    """What an edit may look at."""

    model: PreTrainedModel
    weights: Editable
    """The weights that it may change."""
    forget: Sequence[Encoded]
    retain: Sequence[Encoded]
    config: TrainConfig
    seed: int
    retained: PreTrainedModel | None = None
    """The model that was never trained on the forget facts, for edits with `needs_retained`."""
    on_step: OnStep | None = None
    refusals: Sequence[Encoded] = ()
    """"I don't know" answers to the forget questions, one each."""
    neutral: Sequence[Encoded] = ()
    """Plain text about no person."""


class Edit(Method):
    """Base class: subclasses define `Config` and `apply`."""

    Config: ClassVar[type[Any]] = EditConfig
    rates: ClassVar[tuple[float, ...]] = (1.0,)
    needs_original: ClassVar[bool] = True  # its strength mixes the edit with it

    def apply(self, given: EditInputs) -> Values:
        """New values of all editable weights; the model's own weights may be changed on the way."""
        raise NotImplementedError

    def work(self, load: Workload, train: TrainConfig, gradient: float) -> float:
        """Zero, for an edit that only writes weights; one that reads texts counts them."""
        return 0.0


def carry_out(edit: Edit, given: EditInputs) -> None:
    """Write the edit into the model, at the strength that is its learning rate.

    Raises `Diverged` if the edit is not finite.
    """
    before = given.weights.read()
    after = {n: value.to(before[n].dtype) for n, value in edit.apply(given).items()}
    if not all(bool(torch.isfinite(value).all()) for value in after.values()):
        given.weights.write(before)
        raise Diverged("the edit gave weights that are not finite: change its options")
    mix(given.weights, before, after, given.config.lr)
