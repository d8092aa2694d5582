"""Change scores: per weight of a tensor, how much an update looks as if it were meant for it.

Notation: d = after - before (unlearning), j = before - base (injection), u = the same unlearning of
a control model that was trained without masks. Higher means more likely inside the true mask. Names
and formulas are those of LACUNA (arXiv:2607.02513, `scripts/precision_metrics.py` at 93800b0a):

    raw           |d|: the headline, fixed beforehand
    qtile         mean rank of |d| within its tensor, 0 to 1
    layernorm     |d| / sd of |d| in its layer's attention or MLP
    compnorm      |d| / mean of |u| in its tensor
    contrast      |d| - |u|
    contrastnorm  (|d| - |u|) / (|d| + |u|), 0 where both are 0
    contrastln    (|d| - |u|) / sd of |d| - |u| in its layer's attention or MLP
    eratio        |d| / (|u| + e)
    signrev       -j d
    reversal      (|j| - |after - base|) / (|j| + e)
    dirreversal   -d sign(j) / (|j| + e)

with e = 1e-10. Three differences: equal |d| share their mean rank (there, ranks follow positions);
a score whose inputs are missing is left out (there, it silently becomes |d|, 1 or 0); where a scale
is 0 (nothing changed there) the score is 0. `crossfield` needs four unlearned models of one
injected model, and `composite` is fitted to the truth itself: neither is a score of one update.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lacuna.registry import Registry

HEADLINE = "raw"
TINY = 1e-10


@dataclass(frozen=True)
class Change:
    """One tensor of an update, all float32 and of one shape."""

    before: Tensor
    after: Tensor
    base: Tensor | None = None
    control: Tensor | None = None
    """u; not its size."""
    spread: Mapping[str, float] = field(default_factory=dict)
    """Standard deviation of "d" (of |d|) and "contrast" in the layer's attention or MLP."""

    @property
    def size(self) -> Tensor:
        """|d|."""
        return (self.after - self.before).abs()


@dataclass(frozen=True)
class Score:
    """A named score and what it needs besides before and after."""

    compute: Callable[[Change], Tensor]
    needs: frozenset[str]
    """Of "base", "control"."""


SCORES: Registry[Score] = Registry("change score")


def computable(have: frozenset[str]) -> list[str]:
    """Names of the scores whose inputs there are."""
    return [name for name, score in SCORES.items() if score.needs <= have]


def _score(name: str, *needs: str) -> Callable[[Callable[[Change], Tensor]], Score]:
    def add(compute: Callable[[Change], Tensor]) -> Score:
        return SCORES.register(name)(Score(compute, frozenset(needs)))

    return add


@_score(HEADLINE)
def raw(change: Change) -> Tensor:
    """How far the weight moved."""
    return change.size


@_score("qtile")
def qtile(change: Change) -> Tensor:
    """Its rank within the tensor."""
    flat = change.size.reshape(-1)
    ordered, order = flat.sort()
    _, run, lengths = ordered.unique_consecutive(return_inverse=True, return_counts=True)
    last = lengths.cumsum(0)
    mean_rank = last.double() - (lengths + 1) / 2
    ranks = torch.empty_like(flat)
    ranks[order] = (mean_rank / max(len(flat) - 1, 1)).float()[run]
    return ranks.reshape(change.size.shape)


@_score("layernorm")
def layernorm(change: Change) -> Tensor:
    """Its size in its layer's terms."""
    return _over(change.size, change.spread["d"])


@_score("compnorm", "control")
def compnorm(change: Change) -> Tensor:
    """Its size in terms of what the control moved there."""
    return _over(change.size, float(_control(change).mean()))


@_score("contrast", "control")
def contrast(change: Change) -> Tensor:
    """How much further it moved than the control's."""
    return change.size - _control(change)


@_score("contrastnorm", "control")
def contrastnorm(change: Change) -> Tensor:
    """The contrast between -1 and 1."""
    size, control = change.size, _control(change)
    both = size + control
    return torch.where(both > 0, (size - control) / both, torch.zeros_like(both))


@_score("contrastln", "control")
def contrastln(change: Change) -> Tensor:
    """The contrast in its layer's terms."""
    return _over(contrast.compute(change), change.spread["contrast"])


@_score("eratio", "control")
def eratio(change: Change) -> Tensor:
    """Its size over the control's, weight by weight."""
    return change.size / (_control(change) + TINY)


@_score("signrev", "base")
def signrev(change: Change) -> Tensor:
    """Whether it moved against its injection."""
    return -_injected(change) * (change.after - change.before)


@_score("reversal", "base")
def reversal(change: Change) -> Tensor:
    """Which part of its injection was undone; below 0 where it is further from base than before."""
    injected = _injected(change).abs()
    return (injected - (change.after - _base(change)).abs()) / (injected + TINY)


@_score("dirreversal", "base")
def dirreversal(change: Change) -> Tensor:
    """How far it moved against its injection, in terms of the injection."""
    injected = _injected(change)
    return -(change.after - change.before) * injected.sign() / (injected.abs() + TINY)


def _over(scores: Tensor, scale: float) -> Tensor:
    return scores / scale if scale > 0 else torch.zeros_like(scores)


def _base(change: Change) -> Tensor:
    assert change.base is not None
    return change.base


def _injected(change: Change) -> Tensor:
    return change.before - _base(change)


def _control(change: Change) -> Tensor:
    assert change.control is not None
    return change.control.abs()
