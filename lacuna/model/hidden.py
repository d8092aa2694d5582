"""Activations inside the model, up to the last wanted one, and what its head makes of them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lacuna.data.tokens import Batch
from lacuna.model.shared_forward import whole
from lacuna.model.value import value_modules

Output = Tensor | tuple[Tensor, ...]
"""What a layer puts out: its states, in some architectures with more behind them."""


class _Enough(Exception):
    """Ends a forward pass whose remaining layers nobody asked for."""


def decoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The decoder's layers, first to last."""
    path = next(iter(value_modules(model))).split(".")
    place = next(i for i, part in enumerate(path) if part.isdigit())
    layers = model.get_submodule(".".join(path[:place]))
    assert isinstance(layers, nn.ModuleList)
    return list(layers)


def outputs(model: PreTrainedModel, batch: Batch, modules: Sequence[nn.Module]) -> list[Tensor]:
    """What each of `modules` (in order of execution) puts out, (B, T, D); later ones do not run."""
    found: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Output) -> None:
        found.append(whole(model, output[0] if isinstance(output, tuple) else output))
        if module is modules[-1]:
            raise _Enough

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        model(input_ids=batch.ids_BT, use_cache=False)
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found


def inputs(model: PreTrainedModel, batch: Batch, modules: Sequence[nn.Module]) -> list[Tensor]:
    """What goes into each of `modules`, (B, T, D), detached; later layers do not run."""
    found: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        found.append(args[0].detach())
        if module is modules[-1]:
            raise _Enough

    handles = [module.register_forward_pre_hook(keep) for module in modules]
    try:
        model(input_ids=batch.ids_BT, use_cache=False)
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found


def read_out(model: PreTrainedModel, hidden_ND: Tensor) -> Tensor:
    """Logits (N, V) that the model's last norm and head make of any layer's output.

    The states pass through the model itself as the output of its last layer, so that whatever the
    architecture does afterwards (norm, head, soft cap) is done. Costs a one-token pass besides.
    """
    last = decoder_layers(model)[-1]

    def replace(module: nn.Module, args: tuple[Tensor, ...], output: Output) -> Output:
        states_1ND = hidden_ND[None]
        return (states_1ND, *output[1:]) if isinstance(output, tuple) else states_1ND

    handle = last.register_forward_hook(replace)
    try:
        one = torch.zeros((1, 1), dtype=torch.long, device=model.device)
        logits_1NV: Tensor = model(input_ids=one, use_cache=False).logits
    finally:
        handle.remove()
    return logits_1NV[0]
