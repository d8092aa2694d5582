"""Low-rank adapters (LoRA, Hu et al. 2022, arXiv:2106.09685) as weights that training may move.

    y = W x + (alpha / r) B A x,   A (r, in) drawn at random, B (out, r) zero at first

Through peft. W itself never moves, so taking the adapters off gives the model back bit by bit;
merged, they are added to it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lacuna.errors import UserError
from lacuna.model_types import PreTrainedModel
from lacuna.train.weights import Values


@dataclass(frozen=True, kw_only=True)
class LoraShape:
    """The adapters' size; the defaults are those of LACUNA's relearning."""

    rank: int = 16
    """Rank r (>= 1)."""
    alpha: float = 8.0
    """Scale: the product of the two matrices counts alpha / r (> 0)."""
    dropout: float = 0.1
    """Share of the adapter's inputs zeroed in training (0 to below 1)."""

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise UserError(
                f"lora rank={self.rank} alpha={self.alpha} dropout={self.dropout}: use a rank of "
                f"1 or more, alpha above 0, dropout of 0 to below 1"
            )


class LoraWeights:
    """The adapters' matrices as an `Editable`."""

    def __init__(self, model: PreTrainedModel) -> None:
        from peft.tuners.lora import LoraLayer

        self.masters: dict[str, nn.Parameter] = {
            name: weight for name, weight in model.named_parameters() if ".lora_" in name
        }
        self._model = model
        layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
        self._dropouts: list[nn.Module] = [d for m in layers for d in m.lora_dropout.values()]

    @contextmanager
    def training(self) -> Iterator[None]:
        """Adapters carry gradients and drop inputs; the model's own dropout stays off."""
        self._set(True)
        try:
            yield
        finally:
            self._set(False)

    def _set(self, on: bool) -> None:
        for weight in self.masters.values():
            weight.requires_grad_(on)
            weight.grad = None
        for dropout in self._dropouts:
            dropout.train(on)

    def gather_gradients(self) -> None:
        """Nothing to do: the masters are the adapters."""

    def write_back(self) -> None:
        """Nothing to do: the masters are the adapters."""

    @torch.no_grad()
    def read(self, model: PreTrainedModel | None = None) -> Values:
        """Copies of the adapters' matrices."""
        weights = self.masters if model is None else dict(model.named_parameters())
        return {name: weights[name].detach().clone() for name in self.masters}

    @torch.no_grad()
    def write(self, values: Mapping[str, Tensor]) -> None:
        """Set the adapters' matrices, in place."""
        for name, value in values.items():
            self.masters[name].copy_(value)

    def movable(self, name: str) -> Tensor:
        """True in an adapter; nothing else moves."""
        weight = self._model.get_parameter(name)
        return torch.full_like(weight, name in self.masters, dtype=torch.bool)


@contextmanager
def lora(
    model: PreTrainedModel,
    shape: LoraShape,
    seed: int,
    *,
    targets: Sequence[str] | None = None,
    merge: bool = False,
) -> Iterator[LoraWeights]:
    """Within the block the model carries fresh adapters, frozen but while training.

    `targets` names the linear modules that do, None for all but the head. Afterwards the adapters
    are taken off or, if asked to `merge` and the block ended well, added to the weights. What is
    drawn within the block, dropout included, comes from `seed`; the generators outside are as they
    were.
    """
    import peft

    config = peft.LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,  # type: ignore[arg-type]  # any number works
        lora_dropout=shape.dropout,
        target_modules="all-linear" if targets is None else list(targets),
        bias="none",
    )
    device = model.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        wrapped: Any = peft.get_peft_model(model, config)
        wrapped.eval()
        weights = LoraWeights(model)
        weights._set(False)
        leave = wrapped.unload
        try:
            yield weights
            leave = wrapped.merge_and_unload if merge else leave
        finally:
            leave()
