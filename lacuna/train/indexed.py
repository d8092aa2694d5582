"""Training single weights of a model: compact masters, gathered gradients, indexed updates.

LACUNA multiplies gradients by a mask; AdamW's decay and stale moments then still move what the mask
holds still. Here the update is indexed: masters, gradients and moments exist for the region's
weights only (k each), and nothing else is ever written.
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from lacuna.model.value import layout
from lacuna.model_types import PreTrainedModel
from lacuna.region import Region, WeightRegion
from lacuna.train.weights import (
    AllWeights,
    CompactWeights,
    Editable,
    RegionWeights,
    master_type,
)


class _IndexedLinear(torch.autograd.Function):
    """y = h W^T + b, with a weight gradient for some of W's weights only.

    The dense gradient of one matrix exists while its backward pass runs, and no longer.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        h: Tensor,
        master: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        places: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(h, weight, places)
        return nn.functional.linear(h, weight, bias)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad_y,) = grads
        h, weight, places = ctx.saved_tensors  # type: ignore[attr-defined]
        rows = grad_y.reshape(-1, grad_y.shape[-1])
        dense = rows.T @ h.reshape(-1, h.shape[-1]).to(rows.dtype)
        grad_master = dense.reshape(-1)[places]
        needs_h = ctx.needs_input_grad[0]  # type: ignore[attr-defined]
        grad_h = (grad_y @ weight.to(grad_y.dtype)).to(h.dtype) if needs_h else None
        return grad_h, grad_master.to(master_type(grad_master)), None, None, None


class IndexedWeights(CompactWeights):
    """A region's single weights as compact parameters: (k,) per tensor and nothing else."""

    linear = _IndexedLinear

    def __init__(self, model: PreTrainedModel, region: WeightRegion) -> None:
        """Raises `UserError` if the region does not fit the model."""
        region.require_fit(layout(model))
        places = {name: region.indices(name) for name in region.shapes}
        super().__init__(model, {name: held for name, held in places.items() if len(held)})

    @torch.no_grad()
    def refresh(self) -> None:
        """Set the masters to the model's weights, which somebody else may have moved."""
        for name, value in self.read().items():
            self.masters[name].copy_(value)

    @staticmethod
    def _take(weight: Tensor, places: Tensor) -> Tensor:
        return weight.take(places)

    @staticmethod
    def _put(weight: Tensor, places: Tensor, value: Tensor) -> None:
        weight.put_(places, value)


def editable(model: PreTrainedModel, region: Region | WeightRegion | None) -> Editable:
    """The region's value vectors or single weights, or all weights for None."""
    if region is None:
        return AllWeights(model)
    if isinstance(region, WeightRegion):
        return IndexedWeights(model, region)
    return RegionWeights(model, region)
