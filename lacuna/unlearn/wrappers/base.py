"""Wrappers: what can be put around any objective, and how they compose.

A wrapper is one file: formula and source on top, its `Config`, and one or more of four hooks, each
of which does nothing by default. `npo+coreset+sam` is NPO inside `coreset` inside `sam`: wrappers
act in the order of the name, the last one outermost.

    data            which forget texts are read, and how often; before the first step
    gradient        the forget term's gradient, taken elsewhere than at the current weights
    after_step      sees the weights after every step
    after_training  may write them at the end

The retain term's gradient is never touched: a batch adds
    grad L + (wrapped gradient of L_forget - grad L_forget)
so that an objective's own loss runs once per batch, and its state (a multiplier) moves once.
Edits have no gradient and no steps: they take no wrapper.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from lacuna.costs import Workload
from lacuna.errors import UserError
from lacuna.model_types import PreTrainedModel
from lacuna.registry import Registry, Revised
from lacuna.train import AllWeights, Editable, TrainConfig, Values
from lacuna.unlearn.base import OBJECTIVES, UnlearnData, require
from lacuna.unlearn.edits.base import Edit
from lacuna.unlearn.gradients import gradient

Gradient = Callable[[Editable], Values]
"""Gradient of a batch's forget term on the masters of some weights."""


@dataclass(frozen=True)
class Start:
    """What a wrapper may look at before the first step: the injected model, and what is to come."""

    model: PreTrainedModel
    weights: Editable
    """The weights that unlearning may change."""
    data: UnlearnData
    seed: int
    config: TrainConfig
    """How the objective is trained."""


@dataclass
class Point:
    """One batch's forget term, at weights that can be shifted for a while."""

    model: PreTrainedModel
    weights: Editable
    """The weights in training."""
    loss: Callable[[], Tensor]
    """The forget term at the model's current weights."""
    seed: int
    """Seed of this batch."""
    _shifts: int = 0
    _here: Values | None = field(default=None, init=False)

    def reached(self, reach: str) -> Editable:
        """The weights that a shift moves: those in training (`editable`), or `all`."""
        if reach == "editable" or isinstance(self.weights, AllWeights):
            return self.weights
        return AllWeights(self.model)

    def gradient(self, weights: Editable) -> Values:
        """The unwrapped gradient on `weights`; at the unshifted weights in training it is computed
        once."""
        if weights is not self.weights:
            with _unrouted(self.model), weights.training():
                return gradient(weights, self.loss)
        if self._shifts:
            return gradient(weights, self.loss)
        if self._here is None:
            self._here = gradient(weights, self.loss)
        return self._here

    @contextmanager
    def shifted(self, weights: Editable, direction: Values, scale: float) -> Iterator[None]:
        """Within the block, masters and model stand at theta + scale direction.

        Afterwards a copy is put back: subtracting would not restore every bit.
        """
        before = {name: weights.masters[name].detach().clone() for name in direction}
        self._shifts += 1
        try:
            with torch.no_grad():
                for name, value in direction.items():
                    weights.masters[name].add_(value, alpha=scale)
            weights.write_back()
            yield
        finally:
            with torch.no_grad():
                for name, value in before.items():
                    weights.masters[name].copy_(value)
            weights.write_back()
            self._shifts -= 1


@contextmanager
def _unrouted(model: PreTrainedModel) -> Iterator[None]:
    """Within the block modules run their own forward, so that every weight gets its own gradient.

    A region in training replaces the forward of its modules, to bring gradients to its masters.
    """
    detours = [(m, vars(m).pop("forward")) for m in model.modules() if "forward" in vars(m)]
    try:
        yield
    finally:
        for module, detour in detours:
            module.forward = detour


@dataclass(frozen=True, kw_only=True)
class ShiftConfig:
    """Options of all wrappers that shift the weights."""

    reach: str = "editable"
    """Weights that are shifted: `editable` (those that unlearning may change) or `all`."""

    def __post_init__(self) -> None:
        require(self.reach in ("editable", "all"), "reach", self.reach, "editable or all")


class Wrapper(Revised):
    """Base class: subclasses define `Config` and a hook or more."""

    Config: ClassVar[type[Any]]
    copies: ClassVar[int] = 0
    """float32 copies, at its peak, of the weights that it works on; for plans."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def passes(self) -> int:
        """Gradients of the forget term that one call of its `gradient` takes; for plans."""
        return 1

    def scoring(self, load: Workload, gradient: float) -> float:
        """Passes that `data` takes before the first step, for plans (`lacuna.costs`).

        `gradient` is what a token's gradient on the editable weights takes.
        """
        return 0.0

    def data(self, start: Start) -> UnlearnData:
        """The texts to unlearn with; by default all."""
        return start.data

    def gradient(self, inner: Gradient, point: Point) -> Gradient:
        """A gradient made of calls of `inner`, say at other weights; by default `inner`."""
        return inner

    def numbers(self) -> Mapping[str, float]:
        """What it found out about the last batch, logged with the step; by default nothing."""
        return {}

    def after_step(self, weights: Editable, done: int, steps: int) -> None:
        """Sees the weights once `done` of `steps` steps are done."""

    def after_training(self, weights: Editable) -> None:
        """May write the weights, masters included."""


WRAPPERS: Registry[type[Wrapper]] = Registry("wrapper")


class Composed(NamedTuple):
    """The parts of an objective's name."""

    objective: str
    wrappers: Sequence[str]


def parse(name: str) -> Composed:
    """Split `npo+coreset+sam` into objective and wrappers.

    Raises `UserError` for unknown names, for a wrapper named twice, and for a wrapped edit.
    """
    base, *wrappers = name.split("+")
    method = OBJECTIVES[base]
    for wrapper in wrappers:
        WRAPPERS[wrapper]
    if len(set(wrappers)) < len(wrappers):
        raise UserError(f"objective {name!r}: name each wrapper once")
    if wrappers and issubclass(method, Edit):
        raise UserError(f"objective {name!r}: {base} is an edit, which takes no wrapper: drop it")
    return Composed(base, wrappers)
