"""Mask dropout: while one group is read, other groups' masks may stand at their base values.

Ours, not LACUNA's. Masks that are trained side by side come to rely on each other: restoring any
one of them to base then destroys every group's facts, and ablation shows nothing about place. A
group that often had to do without the others' masks keeps its facts when they are restored.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lacuna.errors import UserError
from lacuna.registry import suggest
from lacuna.seeds import torch_generator
from lacuna.train import IndexedWeights, Values, swapped

SCHEDULES = ("independent", "subset", "triples")


@dataclass(frozen=True, kw_only=True)
class DropoutConfig:
    """Which masks stand at base while a batch is read."""

    rate: float = 0.3
    """Probability d; 0 turns dropout off (as published)."""
    schedule: str = "independent"
    """`independent`: each other mask with probability d. `subset`: with probability d a random set
    of others, its size uniform. `triples`: with probability d all masks of the other side (forget
    or retain), else each other mask with probability d."""
    neutral: bool = True
    """Also while neutral text is read, which then moves only the masks that are there."""

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise UserError(f"dropout.rate={self.rate}: must be at least 0 and below 1")
        if self.schedule not in SCHEDULES:
            raise UserError(
                f"dropout.schedule={self.schedule}{suggest(self.schedule, list(SCHEDULES))}"
            )


class Surroundings(Protocol):
    """What the rest of the model does while a batch is read."""

    def during(self, group: int | None, number: int) -> AbstractContextManager[None]:
        """Holds for one forward and backward pass; `group` None is neutral text."""


class NoDropout:
    """The model as it stands."""

    def during(self, group: int | None, number: int) -> AbstractContextManager[None]:
        """Nothing changes."""
        return nullcontext()


class MaskDropout:
    """Puts masks back to base for one batch at a time."""

    def __init__(
        self,
        parts: Mapping[int, IndexedWeights],
        sides: Sequence[Sequence[int]],
        config: DropoutConfig,
        seed: int,
    ) -> None:
        """`parts` are the groups' weights in a model that still is the base; `sides` the forget
        and the retain groups."""
        self.parts, self.sides, self.config, self.seed = parts, sides, config, seed
        self.base: dict[int, Values] = {group: part.read() for group, part in parts.items()}

    def dropped(self, group: int | None, number: int) -> list[int]:
        """The groups whose masks stand at base for batch `number` of `group`."""
        if group is None and not self.config.neutral:
            return []
        others = [other for other in self.parts if other != group]
        generator = torch_generator(self.seed, "dropout", group, number)
        draw, rate = torch.rand(len(others) + 1, generator=generator).tolist(), self.config.rate
        if self.config.schedule == "subset":
            order = torch.randperm(len(others), generator=generator).tolist()
            size = int(torch.randint(1, len(others) + 1, (1,), generator=generator))
            return sorted(others[i] for i in order[:size]) if draw[-1] < rate else []
        if self.config.schedule == "triples" and draw[-1] < rate:
            away = [side for side in self.sides if group not in side]
            return list(away[int(torch.randint(len(away), (1,), generator=generator))])
        return [other for other, chance in zip(others, draw, strict=False) if chance < rate]

    @contextmanager
    def during(self, group: int | None, number: int) -> Iterator[None]:
        """Some masks stand at base; neutral text gives their weights no gradient."""
        with ExitStack() as stack:
            for other in self.dropped(group, number):
                stack.enter_context(swapped(self.parts[other], self.base[other]))
                if group is None:
                    stack.enter_context(_silent(self.parts[other]))
            yield


@contextmanager
def _silent(part: IndexedWeights) -> Iterator[None]:
    """Within the block a part's weights get no gradient of their own matrices."""

    def silence(places: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda grad: grad.reshape(-1).index_fill(0, places, 0).view_as(grad)

    handles = [
        module.weight.register_hook(silence(part.places[name]))
        for name, module in part.modules.items()
        if module.weight.requires_grad
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
