"""The length of a value vector is a gauge: rescalings of a gated MLP that keep its function.

    y = W_down (act(W_gate x) * (W_up x))

Neuron i's column of W_down (its value vector) times c_i > 0 and its row of W_up (the partner row,
with its bias) divided by c_i: the same function, in exact arithmetic. docs/gauge.md has the algebra
and what follows from it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lacuna.errors import UserError
from lacuna.model import value_modules
from lacuna.model_types import PreTrainedModel
from lacuna.region.base import Region

SPAN = 4.0
"""Random factors lie between 1 / SPAN and SPAN."""
_GATED = {"down_proj": ("gate_proj", "up_proj"), "w2": ("w1", "w3")}
"""Output matrix -> its gate and the matrix that is gated, by leaf name."""
_FUSED = "gate_up_proj"
"""Gate and gated matrix as the two halves of one."""

PerVector = Mapping[str, Tensor]
"""Module name of an output matrix -> a number for each value vector, (d_ff,)."""


def partner_rows(model: PreTrainedModel) -> dict[str, list[Tensor]]:
    """Module name -> views of what scales with W_up, first axis d_ff: its weight, and its bias.

    The model is in plain form (`lacuna.model.plain`). Raises `UserError` for an MLP without a gate:
    there is no such freedom.
    """
    found = {}
    for name in value_modules(model):
        owner, _, leaf = name.rpartition(".")
        mlp = model.get_submodule(owner)
        gate, up = _GATED.get(leaf, ("", ""))
        if hasattr(mlp, gate) and hasattr(mlp, up):
            found[name] = _rows(getattr(mlp, up), 0)
        elif leaf == "down_proj" and hasattr(mlp, _FUSED):
            fused = getattr(mlp, _FUSED)
            found[name] = _rows(fused, fused.out_features // 2)
        else:
            raise UserError(
                f"{type(model).__name__}: {name} belongs to no gated MLP, so that the length of a "
                f"value vector is not free: leave out inject.gauge and evaluate.rescalings"
            )
    return found


def _rows(module: nn.Module, start: int) -> list[Tensor]:
    assert isinstance(module, nn.Linear)
    held = [module.weight] if module.bias is None else [module.weight, module.bias]
    return [tensor.detach()[start:] for tensor in held]


def lengths(model: PreTrainedModel) -> dict[str, Tensor]:
    """Length of each value vector, float32 on the CPU."""
    return {
        name: module.weight.detach().float().norm(dim=0).cpu()
        for name, module in value_modules(model).items()
    }


def rescale(model: PreTrainedModel, factors: PerVector) -> None:
    """Multiply value vectors by positive `factors`, divide their partner rows by them, in place.

    A factor of 1 leaves the bits as they are. Raises `UserError` where an MLP has no gate.
    """
    rows = partner_rows(model)
    for name, module in value_modules(model).items():
        weight = module.weight.detach()
        factor = factors[name].to(weight.device)
        weight.copy_(weight * factor.to(_exact(weight)))
        for row in rows[name]:
            row.copy_(row / factor.to(_exact(row)).reshape(-1, *[1] * (row.ndim - 1)))


def _exact(tensor: Tensor) -> torch.dtype:
    """At least float32."""
    return torch.promote_types(tensor.dtype, torch.float32)


@contextmanager
def rescaled(model: PreTrainedModel, factors: PerVector) -> Iterator[None]:
    """Within the block the model is rescaled; afterwards it has its own bits."""
    held = [m.weight.detach() for m in value_modules(model).values()]
    held += [row for rows in partner_rows(model).values() for row in rows]
    before = [tensor.clone() for tensor in held]
    try:
        rescale(model, factors)
        yield
    finally:
        for tensor, value in zip(held, before, strict=True):
            tensor.copy_(value)


def random_factors(model: PreTrainedModel, generator: torch.Generator) -> dict[str, Tensor]:
    """Factors between 1/4 and 4, uniform in their logarithm."""
    return {
        name: SPAN ** (2 * torch.rand(module.in_features, generator=generator) - 1)
        for name, module in value_modules(model).items()
    }


def balanced_factors(model: PreTrainedModel) -> dict[str, Tensor]:
    """Factors that make each value vector as long as its partner row: one gauge for all models of
    one function. Neurons of which either is zero keep theirs."""
    rows, found = partner_rows(model), {}
    for name, length in lengths(model).items():
        partner = rows[name][0].float().norm(dim=1).cpu()
        free = (length > 0) & (partner > 0)
        found[name] = torch.where(free, (partner / length.where(free, partner)).sqrt(), 1.0)
    return found


def within(region: Region, factors: PerVector) -> dict[str, Tensor]:
    """The factors of the region's vectors, 1 for all others."""
    chosen = region.by_module()
    return {name: factor.where(chosen[name], 1.0) for name, factor in factors.items()}


class PartnerRows:
    """The partner rows of a region's value vectors."""

    def __init__(self, model: PreTrainedModel, region: Region) -> None:
        self._rows, self._chosen = partner_rows(model), region.by_module()

    def read(self) -> list[Tensor]:
        """Copies of them, in the order of modules."""
        return [row[chosen].clone() for row, chosen in self._each()]

    def write(self, values: list[Tensor]) -> None:
        """What `read` gave, of this model or of one like it."""
        for (row, chosen), value in zip(self._each(), values, strict=True):
            row[chosen] = value.to(row.device)

    def _each(self) -> Iterator[tuple[Tensor, Tensor]]:
        for name, rows in self._rows.items():
            for row in rows:
                yield row, self._chosen[name].to(row.device)
