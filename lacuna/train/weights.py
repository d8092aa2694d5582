"""What may change: a region's value vectors, or all weights. Everything else is bit-identical.

The update is masked, not the gradient: AdamW decays a weight whose gradient is zero, so a 0/1
gradient mask leaks. Here weights outside the region are never parameters at all.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from lacuna.errors import UserError
from lacuna.model.value import layout
from lacuna.model_types import PreTrainedModel
from lacuna.region import Region

Forward = Callable[[Tensor], Tensor]
"""Of a linear layer."""

Values = dict[str, Tensor]
"""A copy of the editable weights by name."""


class Editable(Protocol):
    """Weights that training may move."""

    @property
    def masters(self) -> dict[str, nn.Parameter]:
        """Their float32 copies, by name."""

    def training(self) -> AbstractContextManager[None]:
        """Within the block, a backward pass fills the masters' gradients (after `collect`)."""

    def gather_gradients(self) -> None:
        """Bring gradients to the masters."""

    def write_back(self) -> None:
        """Write the masters into the model."""

    def read(self, model: PreTrainedModel | None = None) -> Values:
        """A copy of the editable weights as they are in the model, or in another of its shape."""

    def write(self, values: Mapping[str, Tensor]) -> None:
        """Put such a copy into the model, in place. Masters stay: train with a new `Editable`."""

    def movable(self, name: str) -> Tensor:
        """Which entries of the model's parameter `name` may change: booleans of its shape."""


@torch.no_grad()
def mix(editable: Editable, start: Values, end: Values, alpha: float) -> None:
    """Set the weights to (1 - alpha) start + alpha end, in place; 0 and 1 are exact.

    Model mixing (Wang et al. 2025, as used by Lee et al. 2025, appendix B).
    """
    if alpha in (0.0, 1.0):
        editable.write(end if alpha else start)
        return
    editable.write(
        {n: torch.lerp(_wide(v), _wide(end[n]), alpha).to(v.dtype) for n, v in start.items()}
    )


@contextmanager
def swapped(editable: Editable, values: Values) -> Iterator[None]:
    """Within the block the model holds `values`; afterwards what it held before."""
    before = editable.read()
    editable.write(values)
    try:
        yield
    finally:
        editable.write(before)


@contextmanager
def rerouted(detours: Mapping[str, tuple[nn.Linear, Forward]]) -> Iterator[None]:
    """Within the block the modules' forward passes take the given detours."""
    for module, forward in detours.values():
        module.forward = forward  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        for module, _ in detours.values():
            del module.forward


class CompactWeights(ABC):
    """Some entries of linear layers as compact parameters, all else untouched.

    Gradient and AdamW state take 16 bytes an entry (float32 master, gradient, two moments); the
    rest of the model carries no gradient.
    """

    linear: ClassVar[type[torch.autograd.Function]]
    """(h, master, weight, bias, places) -> the layer's output; its gradient reaches `places`."""

    def __init__(self, model: PreTrainedModel, places: Mapping[str, Tensor]) -> None:
        """`places`: a layer, or its weight -> where in the weight the entries lie."""
        self.model = model
        self.modules = {name: _linear(model, name) for name in places}
        self.places = {n: p.to(self.modules[n].weight.device) for n, p in places.items()}
        self.masters = {name: nn.Parameter(master(value)) for name, value in self.read().items()}

    @staticmethod
    @abstractmethod
    def _take(weight: Tensor, places: Tensor) -> Tensor:
        """A copy of the entries."""

    @staticmethod
    @abstractmethod
    def _put(weight: Tensor, places: Tensor, value: Tensor) -> None:
        """Set the entries, in place; `value` has the weight's type and device."""

    @contextmanager
    def training(self) -> Iterator[None]:
        """Route these layers' weight gradients to the masters."""
        with rerouted({name: (m, self._forward(name, m)) for name, m in self.modules.items()}):
            yield

    def _forward(self, name: str, module: nn.Linear) -> Forward:
        master, places = self.masters[name], self.places[name]
        apply: Callable[..., Tensor] = self.linear.apply
        return lambda h: apply(h, master, module.weight, module.bias, places)

    def gather_gradients(self) -> None:  # noqa: B027  # a whole method, not one for subclasses to fill
        """Nothing to do: autograd fills the masters' gradients itself."""

    @torch.no_grad()
    def write_back(self) -> None:
        """Write the masters into the model."""
        self.write(dict(self.masters))

    @torch.no_grad()
    def read(self, model: PreTrainedModel | None = None) -> Values:
        """Copies of the entries by name."""
        modules = self.modules
        if model is not None:
            modules = {name: _linear(model, name) for name in self.places}
        weights = {name: module.weight for name, module in modules.items()}
        return {n: self._take(weights[n], p.to(weights[n].device)) for n, p in self.places.items()}

    @torch.no_grad()
    def write(self, values: Mapping[str, Tensor]) -> None:
        """Set the entries, in place."""
        for name, value in values.items():
            weight = self.modules[name].weight
            self._put(weight, self.places[name], value.to(weight))

    def movable(self, name: str) -> Tensor:
        """True at the entries."""
        weight = self.model.get_parameter(name)
        found = torch.zeros_like(weight, dtype=torch.bool)
        for held, module in self.modules.items():
            if module.weight is weight:
                every = torch.ones_like(self.masters[held], dtype=torch.bool)
                self._put(found, self.places[held], every)
        return found


def _linear(model: PreTrainedModel, name: str) -> nn.Linear:
    module = model.get_submodule(name.removesuffix(".weight"))
    if not isinstance(module, nn.Linear):
        raise UserError(f"{name} belongs to a {type(module).__name__}: only linear layers train")
    return module


class _RegionLinear(torch.autograd.Function):
    """y = h W^T + b, with a weight gradient for the region's columns only.

    Saves h at those columns instead of all of h: (tokens, k) instead of (tokens, d_ff).
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        h: Tensor,
        master: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        columns: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(h[..., columns], weight)
        return nn.functional.linear(h, weight, bias)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad_y,) = grads
        h_region, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        flat = grad_y.reshape(-1, grad_y.shape[-1])
        grad_master = flat.T @ h_region.reshape(-1, h_region.shape[-1])
        grad_h = grad_y @ weight if ctx.needs_input_grad[0] else None  # type: ignore[attr-defined]
        return grad_h, grad_master.to(master_type(grad_master)), None, None, None


class RegionWeights(CompactWeights):
    """The region's columns as compact parameters: (d_model, k) per layer and nothing else."""

    linear = _RegionLinear

    def __init__(self, model: PreTrainedModel, region: Region) -> None:
        """Raises `UserError` if the region does not fit the model."""
        region.require_fit(layout(model))
        super().__init__(model, region.columns)

    @staticmethod
    def _take(weight: Tensor, places: Tensor) -> Tensor:
        return weight[:, places]

    @staticmethod
    def _put(weight: Tensor, places: Tensor, value: Tensor) -> None:
        weight[:, places] = value


class AllWeights:
    """Every parameter of the model but frozen ones, tied weights once; float32 masters for bf16."""

    def __init__(self, model: PreTrainedModel, frozen: Collection[str] = ()) -> None:
        """`frozen`: names of parameters that stay as they are."""
        named = model.named_parameters()
        self.weights: dict[str, nn.Parameter] = {n: w for n, w in named if n not in frozen}

    @cached_property
    def masters(self) -> dict[str, nn.Parameter]:
        """Created lazily: callers that only read and write must not pay for them."""
        return {
            name: weight if weight.dtype.itemsize >= 4 else nn.Parameter(master(weight))
            for name, weight in self.weights.items()
        }

    @contextmanager
    def training(self) -> Iterator[None]:
        """Let every weight carry a gradient."""
        self._require_grad(True)
        try:
            yield
        finally:
            self._require_grad(False)

    def _require_grad(self, on: bool) -> None:
        for weight in self.weights.values():
            weight.requires_grad_(on)
            weight.grad = None

    def gather_gradients(self) -> None:
        """Move bf16 gradients to the float32 masters."""
        for name, master in self.masters.items():
            weight = self.weights[name]
            if master is not weight and weight.grad is not None:
                moved = weight.grad.float()
                master.grad = moved if master.grad is None else master.grad + moved
                weight.grad = None

    @torch.no_grad()
    def write_back(self) -> None:
        """Write float32 masters into bf16 weights."""
        for name, master in self.masters.items():
            if master is not self.weights[name]:
                self.weights[name].copy_(master)

    @torch.no_grad()
    def read(self, model: PreTrainedModel | None = None) -> Values:
        """Copies of all weights."""
        weights = self.weights if model is None else dict(model.named_parameters())
        return {name: weights[name].detach().clone() for name in self.weights}

    @torch.no_grad()
    def write(self, values: Mapping[str, Tensor]) -> None:
        """Set all weights, in place."""
        for name, value in values.items():
            self.weights[name].copy_(value)

    def movable(self, name: str) -> Tensor:
        """True everywhere."""
        return torch.ones_like(self.weights[name], dtype=torch.bool)


def master(value: Tensor) -> Tensor:
    """A float32 copy (float64 stays)."""
    return value.detach().clone() if value.dtype.itemsize >= 4 else value.detach().float()


def master_type(value: Tensor) -> torch.dtype:
    """float32, or float64 for float64."""
    return torch.promote_types(value.dtype, torch.float32)


def _wide(value: Tensor) -> Tensor:
    """The value in float32 or finer; a copy only where it must be."""
    return value if value.dtype.itemsize >= 4 else value.float()
