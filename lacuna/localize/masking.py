"""Value vectors and weights switched off for a while, and gradients in the switches.

A switch m multiplies a weight or a whole vector, so that dL/dm = w dL/d(w m), summed over what it
switches. Nothing of the model is a parameter of it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from lacuna.data.tokens import Batch
from lacuna.localize.evidence import replaced, taken, weight_gradients
from lacuna.model.forward import answers
from lacuna.model_types import PreTrainedModel
from lacuna.train import mean_nll


@contextmanager
def switched(modules: Mapping[str, nn.Linear], switches: Mapping[str, Tensor]) -> Iterator[None]:
    """Within the block every weight is multiplied by its switch: (d_model, d_ff) or (d_ff,)."""
    with ExitStack() as held:
        for name, module in modules.items():
            weight = module.weight.detach()
            held.enter_context(replaced(weight, weight * switches[name].to(weight)))
        yield


def switch_slopes(
    model: PreTrainedModel,
    modules: Mapping[str, nn.Linear],
    switches: Mapping[str, Tensor],
    parts: Mapping[float, Batch],
) -> tuple[dict[str, Tensor], float]:
    """Slope of a loss in each weight's switch, (d_model, d_ff) float32, and the loss.

    The loss sums the batches' token-mean NLL, each times its factor in `parts`.
    """
    whole = {name: module.weight.detach().float() for name, module in modules.items()}
    value = 0.0
    with switched(modules, switches), weight_gradients(modules):
        for factor, batch in parts.items():
            loss = factor * mean_nll(answers(model, batch.to(model.device)))
            loss.backward()
            value += float(loss.detach())
        found = {name: taken(module.weight) for name, module in modules.items()}
    return {name: slope * whole[name] for name, slope in found.items()}, value


def learned(
    slopes: Callable[[int, Mapping[str, Tensor]], Mapping[str, Tensor]],
    values: Mapping[str, Tensor],
    gates: Callable[[Tensor], Tensor],
    cost: Callable[[Tensor], Tensor],
    *,
    penalty: float,
    lr: float,
    steps: int,
    stop: float,
) -> None:
    """Adam on values behind switches, in place: a loss of the switches plus `penalty` times their
    summed `cost`, until the mean cost is below `stop`.

    `slopes` gives the loss's slope in every switch at a step.
    """
    tensors = [value.requires_grad_(True) for value in values.values()]
    optimizer = torch.optim.Adam(tensors, lr=lr)
    for step in range(steps):
        now = {name: gates(value) for name, value in values.items()}
        found = slopes(step, {name: gate.detach() for name, gate in now.items()})
        costs = torch.cat([cost(value) for value in tensors])
        if float(costs.detach().mean()) < stop:
            break
        roots = [*now.values(), penalty * costs.sum()]
        given = [*(found[name].to(gate) for name, gate in now.items()), None]
        torch.autograd.backward(roots, given)
        optimizer.step()
        optimizer.zero_grad()
    for value in tensors:
        value.requires_grad_(False)
