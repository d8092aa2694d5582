"""Activations inside the model, up to the last wanted one, and what its head makes of them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lacuna.data.tokens import Batch
from lacuna.model.shared_forward import whole
from lacuna.model.value import decoder_path
from lacuna.model_types import PreTrainedModel

Output = Tensor | tuple[Tensor, ...]
"""What a layer puts out: its states, in some architectures with more behind them."""


class _Enough(Exception):
    """Ends a forward pass whose remaining layers nobody asked for."""


def decoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The text decoder's layers, first to last."""
    layers = model.get_submodule(decoder_path(model))
    assert isinstance(layers, nn.ModuleList)
    return list(layers)


def outputs(model: PreTrainedModel, batch: Batch, modules: Sequence[nn.Module]) -> list[Tensor]:
    """What each of `modules` puts out, (B, T, D); what comes after them all does not run."""

    def said(args: tuple[Tensor, ...], output: Output) -> Tensor:
        return output[0] if isinstance(output, tuple) else output

    return _kept(model, batch, modules, said)


def inputs(model: PreTrainedModel, batch: Batch, modules: Sequence[nn.Module]) -> list[Tensor]:
    """What goes into each of `modules`, (B, T, D), detached; later layers do not run."""
    return _kept(model, batch, modules, lambda args, output: args[0].detach())


def _kept(
    model: PreTrainedModel,
    batch: Batch,
    modules: Sequence[nn.Module],
    what: Callable[[tuple[Tensor, ...], Output], Tensor],
) -> list[Tensor]:
    """`what` of each module, in the order given; some architectures call them on (B T, D)."""
    found: dict[nn.Module, Tensor] = {}
    length = batch.ids_BT.shape[1]

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Output) -> None:
        state = what(args, output)
        if state.ndim == 2:  # else as it is: a view would be no part of what follows in the graph
            state = state.reshape(-1, length, state.shape[-1])
        found[module] = whole(model, state)
        if len(found) == len(modules):
            raise _Enough

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        model(input_ids=batch.ids_BT, use_cache=False)
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return [found[module] for module in modules]


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
        logits: Tensor = model(input_ids=one, use_cache=False).logits
    finally:
        handle.remove()
    return logits.flatten(0, -2)  # (1, N, V), or (N, 1, V) where it goes by the one token's shape
