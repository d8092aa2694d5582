"""Training single weights of a model: compact masters, gathered gradients, indexed updates.

LACUNA multiplies gradients by a mask; AdamW's decay and stale moments then still move what the mask
holds still. Here the update is indexed: masters, gradients and moments exist for the region's
weights only (k each), and nothing else is ever written.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from transformers import PreTrainedModel

from lacuna.errors import UserError
from lacuna.model.value import layout
from lacuna.region import Region, WeightRegion
from lacuna.train.weights import AllWeights, Editable, RegionWeights, Values, master, rerouted


class _IndexedLinear(torch.autograd.Function):
    """y = h W^T + b, with a weight gradient for some of W's weights only.

    The dense gradient of one matrix exists while its backward pass runs, and no longer.
    """

    @staticmethod
    def forward(
        ctx: Any, h: Tensor, master: Tensor, weight: Tensor, bias: Tensor | None, places: Tensor
    ) -> Tensor:
        ctx.save_for_backward(h, weight, places)
        return nn.functional.linear(h, weight, bias)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Any) -> Any:
        (grad_y,) = grads
        h, weight, places = ctx.saved_tensors  # type: ignore[attr-defined]
        rows = grad_y.reshape(-1, grad_y.shape[-1])
        dense = rows.T @ h.reshape(-1, h.shape[-1]).to(rows.dtype)
        grad_master = dense.reshape(-1)[places]
        needs_h = ctx.needs_input_grad[0]  # type: ignore[attr-defined]
        grad_h = (grad_y @ weight.to(grad_y.dtype)).to(h.dtype) if needs_h else None
        return grad_h, grad_master.to(master_type(grad_master)), None, None, None


def master_type(value: Tensor) -> torch.dtype:
    """float32, or float64 for float64."""
    return torch.promote_types(value.dtype, torch.float32)


class IndexedWeights:
    """A region's single weights as compact parameters: (k,) per tensor and nothing else."""

    def __init__(self, model: PreTrainedModel, region: WeightRegion) -> None:
        """Raises `UserError` if the region does not fit the model."""
        region.require_fit(layout(model))
        self.modules: dict[str, nn.Linear] = {}
        self.places: dict[str, Tensor] = {}
        for name in region.shapes:
            places = region.indices(name)
            if len(places):
                self.modules[name] = _linear(model, name)
                self.places[name] = places.to(self.modules[name].weight.device)
        self.masters = {name: nn.Parameter(master(value)) for name, value in self.read().items()}

    @contextmanager
    def training(self) -> Iterator[None]:
        """Route these matrices' gradients to the masters."""
        with rerouted({name: (m, self._forward(name, m)) for name, m in self.modules.items()}):
            yield

    def _forward(self, name: str, module: nn.Linear) -> Any:
        master, places = self.masters[name], self.places[name]
        apply: Any = _IndexedLinear.apply
        return lambda h: apply(h, master, module.weight, module.bias, places)

    def collect(self) -> None:
        """Nothing to do: autograd fills the masters' gradients itself."""

    @torch.no_grad()
    def publish(self) -> None:
        """Write the masters into the model."""
        self.write(dict(self.masters))

    @torch.no_grad()
    def refresh(self) -> None:
        """Set the masters to the model's weights, which somebody else may have moved."""
        for name, value in self.read().items():
            self.masters[name].copy_(value)

    @torch.no_grad()
    def read(self, model: PreTrainedModel | None = None) -> Values:
        """Copies of the weights, (k,) per tensor."""
        modules = self.modules
        if model is not None:
            modules = {name: _linear(model, name) for name in self.modules}
        weights = {name: modules[name].weight for name in self.places}
        return {n: weights[n].take(p.to(weights[n].device)) for n, p in self.places.items()}

    @torch.no_grad()
    def write(self, values: Mapping[str, Tensor]) -> None:
        """Set the weights, in place."""
        for name, value in values.items():
            weight = self.modules[name].weight
            weight.put_(self.places[name], value.to(weight))


def _linear(model: PreTrainedModel, name: str) -> nn.Linear:
    module = model.get_submodule(name.removesuffix(".weight"))
    if not isinstance(module, nn.Linear):
        raise UserError(f"{name} belongs to a {type(module).__name__}: only linear layers train")
    return module


def editable(model: PreTrainedModel, region: Region | WeightRegion | None) -> Editable:
    """The region's value vectors or single weights, or all weights for None."""
    if region is None:
        return AllWeights(model)
    if isinstance(region, WeightRegion):
        return IndexedWeights(model, region)
    return RegionWeights(model, region)
