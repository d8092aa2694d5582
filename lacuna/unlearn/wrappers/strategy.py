"""Wrappers at work in the training loop."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from lacuna.model_types import PreTrainedModel
from lacuna.seeds import derive
from lacuna.train import Editable, Strategy
from lacuna.unlearn.wrappers.base import Gradient, Point, Wrapper

ForgetTerm = Callable[[int], Callable[[], Tensor]]
"""Maps the number of a batch to its forget term, which can be computed again at other weights."""


class Wrapped(Strategy):
    """Replaces the forget gradient of every batch by the wrapped one, and calls the wrappers'
    hooks."""

    def __init__(
        self, model: PreTrainedModel, wrappers: Sequence[Wrapper], forget: ForgetTerm, seed: int
    ) -> None:
        """`seed` is that of the wrappers' random draws."""
        self.model, self.wrappers, self.forget, self.seed = model, wrappers, forget, seed

    def after_backward(self, weights: Editable, batch: int, share: float) -> None:
        """Replace the plain forget gradient in the masters by the wrapped one."""
        if all(type(wrapper).gradient is Wrapper.gradient for wrapper in self.wrappers):
            return
        point = Point(self.model, weights, self.forget(batch), derive(self.seed, batch))
        wrapped: Gradient = point.gradient
        for wrapper in self.wrappers:
            wrapped = wrapper.gradient(wrapped, point)
        # before any shift: what is asked of the earlier model is asked here
        before = point.gradient(weights)
        for name, value in wrapped(weights).items():
            grad = weights.masters[name].grad
            assert grad is not None, "the loss contains its forget term"
            grad.add_(value - before[name], alpha=share)

    def numbers(self) -> Mapping[str, float]:
        """What all wrappers found out about the last batch."""
        return {name: value for each in self.wrappers for name, value in each.numbers().items()}

    def after_step(self, weights: Editable, done: int, steps: int) -> None:
        """Call every wrapper's hook of that name."""
        for wrapper in self.wrappers:
            wrapper.after_step(weights, done, steps)

    def after_training(self, weights: Editable) -> None:
        """Call every wrapper's hook of that name."""
        for wrapper in self.wrappers:
            wrapper.after_training(weights)
