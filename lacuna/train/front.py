"""What a model computes in front of the first weight that moves is the same at every point of a
mixing curve: it is computed once for each batch, and remembered.

A forward pass runs its modules one after the other, so whatever has returned before the first
module with a moving weight is called has seen none of them.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from lacuna.train.weights import CompactWeights, Editable

ROOM = 128 * 2**20
"""Bytes remembered at most."""


@dataclass(frozen=True)
class _Call:
    """A module that was called, and what it returned."""

    module: nn.Module
    out: Any
    versions: Sequence[int]
    """How often each tensor in it had been written to by then."""

    @property
    def tensors(self) -> list[Tensor]:
        parts = self.out if isinstance(self.out, tuple | list) else [self.out]
        return [part for part in parts if isinstance(part, Tensor)]

    @property
    def intact(self) -> bool:
        """Whether nobody wrote into it since."""
        return [one._version for one in self.tensors] == list(self.versions)


class Front:
    """Remembers for one model, while nothing but `weights` moves."""

    def __init__(self, model: nn.Module, weights: Editable) -> None:
        self.model = model
        self.moving: set[nn.Module] = set()
        """Empty: everything moves."""
        if isinstance(weights, CompactWeights):
            self.moving.update(weights.modules.values())
        self.room = ROOM
        self._seen: dict[Hashable, Sequence[_Call]] = {}

    @contextmanager
    def reading(self, batch: Hashable) -> Iterator[None]:
        """Within the block the model reads this batch, once and without gradients; the same batch
        must always be read the same way."""
        if not self.moving or torch.is_grad_enabled():
            yield
        elif batch in self._seen:
            with _recalled(self._seen[batch]):
                yield
        elif self.room <= 0:
            yield
        else:
            calls: list[_Call] = []
            with _noted(self.model, self.moving, calls):
                yield
            self._keep(batch, calls)

    def _keep(self, batch: Hashable, calls: Sequence[_Call]) -> None:
        tensors = [one for call in calls for one in call.tensors]
        self.room -= sum(one.numel() * one.element_size() for one in tensors)
        if self.room >= 0 and all(call.intact for call in calls):
            self._seen[batch] = calls


@contextmanager
def _noted(model: nn.Module, moving: set[nn.Module], calls: list[_Call]) -> Iterator[None]:
    """Fills `calls` with the outermost modules that return before a moving one is called."""
    began: list[int] = []
    over = False

    def begin(module: nn.Module, _: Any) -> None:
        nonlocal over
        over = over or module in moving
        began.append(len(calls))

    def end(module: nn.Module, _: Any, out: Any) -> None:
        start = began.pop()
        if not over:
            del calls[start:]  # the outer one stands for those inside
            found = _Call(module, out, ())
            calls.append(replace(found, versions=[one._version for one in found.tensors]))

    with ExitStack() as hooks:
        for module in model.modules():
            hooks.enter_context(module.register_forward_pre_hook(begin))
            hooks.enter_context(module.register_forward_hook(end))
        yield


@contextmanager
def _recalled(calls: Sequence[_Call]) -> Iterator[None]:
    """Within the block the modules return what they returned, call by call, and then compute."""
    outputs: dict[nn.Module, list[Any]] = {}
    for call in calls:
        outputs.setdefault(call.module, []).append(call.out)
    before = {module: vars(module).get("forward") for module in outputs}
    for module, returned in outputs.items():
        module.forward = _replay(module.forward, returned)
    try:
        yield
    finally:
        for module, own in before.items():
            del module.forward
            if own is not None:
                module.forward = own


def _replay(forward: Callable[..., Any], outputs: list[Any]) -> Callable[..., Any]:
    def replayed(*given: Any, **options: Any) -> Any:
        return outputs.pop(0) if outputs else forward(*given, **options)

    return replayed
