"""What an unlearning objective may look at, and what it must return.

An objective is one file: formula and source on top, its `Config` with vetted defaults, a forget
term on named inputs, registered under its name. The retain term is added here, and nothing else is
edited for it. Shapes: B sequences, T tokens, N labelled tokens, V vocabulary, D width.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lacuna.costs import READ, Workload
from lacuna.data.tokens import Batch, Encoded
from lacuna.errors import UserError
from lacuna.model.forward import Answers, answers
from lacuna.model.hidden import decoder_layers
from lacuna.model.value import layout
from lacuna.model_types import PreTrainedModel
from lacuna.registry import Registry, Revised
from lacuna.train import Editable, Loss, TrainConfig, mean_nll
from lacuna.unlearn.retain import RETAIN, AskOriginal, distance_to_original

LATER: Mapping[str, bool] = {"later": True}
"""Metadata of an option that came after results with keys: while it has its default, it is no part
of a trial's key, so that results without it are found."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Options that all objectives have."""

    retain_weight: float = 1.0
    """Weight of the retain term (0 or more; 0 leaves it out)."""
    retain: str = "nll"
    """Retain term: `nll`, `kl`, `kl_peer` or `hidden` (see `lacuna.unlearn.retain`)."""

    def __post_init__(self) -> None:
        require(self.retain_weight >= 0, "retain_weight", self.retain_weight, "0 or more")
        require(self.retain in RETAIN, "retain", self.retain, " or ".join(RETAIN))


def require(holds: bool, name: str, value: object, allowed: str) -> None:
    """Raise `UserError` unless an option is in range; infinity never is."""
    if not holds or value in (math.inf, -math.inf):
        raise UserError(f"option {name}={value}: must be {allowed}")


def require_same_shape(model: PreTrainedModel, retained: PreTrainedModel) -> None:
    """Raise `UserError` unless the two models have the same layers, of the same size."""
    ours, theirs = (layout(m).shapes for m in (model, retained))
    if ours != theirs:
        raise UserError(
            f"the retained model has {_size(theirs)}, the injected one {_size(ours)}: "
            f"give a retained model of the same shape"
        )


def _size(shapes: Mapping[str, tuple[int, int]]) -> str:
    width = next(iter(shapes.values()))[0]
    vectors = sum(count for _, count in shapes.values())
    return f"{len(shapes)} layers of width {width} with {vectors} value vectors"


@dataclass(frozen=True)
class UnlearnData:
    """Tokenised texts. `refusals` answer the forget questions, one each, with "I don't know"."""

    forget: Sequence[Encoded]
    retain: Sequence[Encoded]
    refusals: Sequence[Encoded] = ()
    draws: Sequence[float] = ()
    """How often each forget text is read in an epoch, on average; empty: once."""
    neutral: Sequence[Encoded] = ()
    """Plain text about no person, for edits that must know what to preserve."""


@dataclass(frozen=True)
class Reference:
    """The model's log-probabilities before unlearning, computed once.

    Sums of -log p over each example's answer, (number of examples,) float64; and the terms of the
    forget answers' sums, a tensor per example.
    """

    forget_nll: Tensor
    refusal_nll: Tensor | None = None
    forget_token_nll: Sequence[Tensor] = ()


@dataclass
class Step:
    """One step's batches, and the current model's outputs on them, computed when first read."""

    model: PreTrainedModel
    forget: Batch
    retain: Batch | None
    refusal: Batch | None
    """The forget questions with "I don't know" answers, row for row."""
    reference: Reference
    frozen: "Frozen"

    @cached_property
    def forget_said(self) -> Answers:
        """Outputs of the current model on the forget batch."""
        return answers(self.model, self.forget)

    @cached_property
    def refusal_said(self) -> Answers:
        """Outputs of the current model on the refusals."""
        assert self.refusal is not None, "objective lacks needs_refusals = True"
        return answers(self.model, self.refusal)

    @property
    def original(self) -> AskOriginal:
        """Applies a function to the model as it was before unlearning; call before the current
        model runs."""
        assert self.frozen.original is not None, "objective lacks needs_original = True"
        return self.frozen.original

    @property
    def forget_reference_B(self) -> Tensor:
        """Reference sum of -log p for the forget batch's rows."""
        return _rows(self.reference.forget_nll, self.forget)

    @property
    def refusal_reference_B(self) -> Tensor:
        """Reference sum of -log p for the refusals' rows."""
        assert self.reference.refusal_nll is not None and self.refusal is not None
        return _rows(self.reference.refusal_nll, self.refusal)

    @property
    def forget_reference_N(self) -> Tensor:
        """Reference -log p of every answer token of the forget batch, as in `forget_said`."""
        rows = self.forget.index_B.tolist()
        tokens_N = torch.cat([self.reference.forget_token_nll[row] for row in rows])
        return tokens_N.to(self.forget.ids_BT.device)

    @cached_property
    def retain_nll(self) -> Tensor:
        """Token-mean -log p of the retain batch."""
        assert self.retain is not None, "objective needs a retain batch (retain_weight > 0)"
        return mean_nll(answers(self.model, self.retain))


def _rows(values: Tensor, batch: Batch) -> Tensor:
    return values[batch.index_B.to(values.device)].to(batch.ids_BT.device)


@dataclass(frozen=True)
class Frozen:
    """Earlier models, for outputs that are not precomputed; they carry no gradients."""

    original: AskOriginal | None = None
    """Applies a function to the model as it was before unlearning; None where no objective needs
    it. Call it before the current model runs: weights are swapped in place, which invalidates a
    graph that is waiting for its backward pass."""
    retained: PreTrainedModel | None = None
    """The model that was never trained on the forget facts, for objectives with `needs_retained`.
    """


class Method(Revised):
    """What unlearns: an `Objective` to minimise, or an `Edit` to apply."""

    Config: ClassVar[type[Any]]
    rates: ClassVar[tuple[float, ...]] = ()
    """Learning rates to try where the recipe names none."""
    needs_refusals: ClassVar[bool] = False
    """Needs "I don't know" answers to the forget questions."""
    needs_retained: ClassVar[bool] = False
    """Needs the retained model (a privilege that only this testbed can grant)."""
    needs_reference: ClassVar[bool] = False
    """Needs the injected model's log-probabilities of the answers, read once before the first step.
    """
    needs_original: ClassVar[bool] = False
    """Needs outputs of the injected model at every step, for its forget term."""
    confined: ClassVar[bool] = True
    """Can be confined to a region; false: works on all weights only."""
    spreads: ClassVar[bool] = False
    """Can be spread over devices: it is a loss of the batch and keeps no state."""
    copies: ClassVar[int] = 0
    """float32 copies of the editable weights that it holds at its peak, for plans: beside those of
    a training, and beside what `keeps_original` and `needs_retained` say."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def keeps_original(self) -> bool:
        """Whether a copy of the editable weights is kept as they were before unlearning."""
        return self.needs_original

    def work(self, load: Workload, train: TrainConfig, gradient: float) -> float:
        """Passes of the whole unlearning, for plans (`lacuna.costs`).

        `gradient` is what a token's gradient on the editable weights takes.
        """
        raise NotImplementedError


class Objective(Method):
    """Base class: subclasses define `Config` and `forget_loss`."""

    Config: ClassVar[type[ObjectiveConfig]] = ObjectiveConfig
    config: ObjectiveConfig
    spreads: ClassVar[bool] = True

    def prepare(self, model: PreTrainedModel, generator: torch.Generator) -> None:
        """Called once before the first step, with the injected model."""

    @contextmanager
    def trained(
        self, model: PreTrainedModel, weights: Editable, data: UnlearnData, seed: int
    ) -> Iterator[Editable]:
        """The weights to train: `weights`, or others that are merged into them at the end."""
        yield weights

    def forget_loss(self, step: Step) -> Tensor:
        """The forget term, a scalar to minimise. Calls `step.original` first, if at all."""
        raise NotImplementedError

    def kept_layers(self, model: PreTrainedModel) -> list[nn.Module]:
        """The layers whose outputs `retain=hidden` compares, first to last."""
        return decoder_layers(model)

    def loss(self, step: Step) -> Loss:
        """The scalar to minimise: forget term plus weighted retain term, skipped at weight 0."""
        if not self.uses_retain:
            forget = self.forget_loss(step)
            return Loss(forget, {"loss/forget": forget.detach()})
        forget, retain = self.terms(step)
        return Loss(
            forget + self.config.retain_weight * retain,
            {"loss/forget": forget.detach(), "loss/retain": retain.detach()},
        )

    def terms(self, step: Step) -> tuple[Tensor, Tensor]:
        """Forget and retain term; outputs of the earlier model are computed first."""
        if self.config.retain == "nll":
            return self.forget_loss(step), step.retain_nll
        assert step.retain is not None, "objective needs a retain batch (retain_weight > 0)"
        retain = distance_to_original(
            self.config.retain, step.model, step.retain, step.original, self.kept_layers
        )
        return self.forget_loss(step), retain()

    @property
    def uses_retain(self) -> bool:
        """Whether a retain batch is read at each step."""
        return self.config.retain_weight > 0

    def work(self, load: Workload, train: TrainConfig, gradient: float) -> float:
        """Gradients of every step's texts, and readings by earlier models."""
        forget, retain = load.forget.drawn(train.texts), load.retain.drawn(train.texts)
        refusal = load.refusals.drawn(train.texts) if self.needs_refusals else 0.0
        work = gradient * (forget + refusal + (retain if self.uses_retain else 0.0))
        if self.needs_reference:  # once, before the first step
            known = load.forget.tokens + (load.refusals.tokens if self.needs_refusals else 0.0)
            work += READ * known
        if self.needs_retained or self.needs_original:
            work += READ * forget
        if self.uses_retain and self.config.retain != "nll":
            work += READ * retain
        return work

    @property
    def keeps_original(self) -> bool:
        """Every retain term but `nll` compares with the model as it was."""
        return self.needs_original or (self.uses_retain and self.config.retain != "nll")


OBJECTIVES: Registry[type[Method]] = Registry("objective")
