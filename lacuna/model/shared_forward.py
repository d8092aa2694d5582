"""A model that several processes ask together: each computes some rows, all have all of them.

Rows are independent up to the output head. There, and wherever else hidden states are read, they
are gathered: what is made of them, the loss too, is made of the whole batch, is the same in every
process, and knows nothing of the others. It may take means over whatever it likes.

Shapes: B rows, W processes, R = ceil(B / W) rows of each (the last row again where B is no
multiple), T tokens, D width.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, distributed
from torch.autograd.function import FunctionCtx

from lacuna.model_types import PreTrainedModel


def joint(model: PreTrainedModel, forward: Callable[..., Any] | None = None) -> PreTrainedModel:
    """`model`, asked by all processes of the default group: the same batches in the same order.

    `forward` runs it, where it is not run by calling it. After a backward pass the gradient of the
    batch is the mean over the processes.
    """
    return cast(PreTrainedModel, _Joint(model, forward or model))


def whole(model: object, states_RTD: Tensor) -> Tensor:
    """States (B, T, D) of the whole batch, of which a joint model has computed some rows."""
    return model.gathered(states_RTD) if isinstance(model, _Joint) else states_RTD


class _Joint:
    """Stands for the model: only calls differ."""

    def __init__(self, model: PreTrainedModel, forward: Callable[..., Any]) -> None:
        self._model, self._forward, self._rows = model, forward, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(
        self, *, input_ids: Tensor, attention_mask: Tensor | None = None, **options: Any
    ) -> Any:
        self._rows = len(input_ids)
        mine_R = self._mine(input_ids.device)
        mask_RT = None if attention_mask is None else attention_mask[mine_R]
        return self._forward(input_ids=input_ids[mine_R], attention_mask=mask_RT, **options)

    def _mine(self, device: torch.device) -> Tensor:
        size = -(-self._rows // distributed.get_world_size())
        start = distributed.get_rank() * size
        return torch.arange(start, start + size, device=device).clamp(max=self._rows - 1)

    def gathered(self, states_RTD: Tensor) -> Tensor:
        """All rows of the batch that was asked last."""
        gather: Callable[[Tensor], Tensor] = _Gather.apply
        return gather(states_RTD)[: self._rows]


class _Gather(torch.autograd.Function):
    """(R, T, D) of every process -> (W R, T, D).

    All processes have the same loss, so the gradient of the sum of their losses, of which somebody
    takes the mean, is W times what each finds for its own rows: nothing need be sent.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, own: Tensor) -> Tensor:
        parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> Tensor:
        (grad,) = grads
        workers = distributed.get_world_size()
        return workers * grad.chunk(workers)[distributed.get_rank()]
