"""What is remembered of a forward pass is what is computed anew, and lies before what moves."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.tiny import tiny_model, tiny_texts
from torch import Tensor, nn
from transformers import PreTrainedModel

from lacuna.data.trees import TreeBatch, Trees
from lacuna.model import layout
from lacuna.model.trees import tree_logits
from lacuna.region import draw
from lacuna.train import AllWeights, Front, RegionWeights, mix

BATCHES = Trees(tiny_texts(9), 40).batches


def counted(model: PreTrainedModel, calls: list[str]) -> None:
    """Notes every linear layer that computes."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            module.forward = counting(name, module.forward, calls)  # type: ignore[method-assign]


def counting(name: str, forward: Callable[..., Tensor], calls: list[str]) -> Any:
    def noted(x: Tensor) -> Tensor:
        calls.append(name)
        return forward(x)

    return noted


@torch.no_grad()
def walk(model: PreTrainedModel, front: Front, read: Callable[[TreeBatch], Tensor]) -> list[Tensor]:
    """Logits of all batches at three points of a mixing curve."""
    weights = RegionWeights(model, draw(layout(model), 0.3, 0))
    start = weights.read()
    end = {name: value + 0.5 for name, value in start.items()}
    found = []
    for alpha in (0.0, 0.5, 1.0):
        mix(weights, start, end, alpha)
        for batch in BATCHES:
            with front.reading(batch):
                found.append(read(batch))
    weights.write(start)
    return found


@pytest.mark.parametrize("architecture", ["olmo2", "gpt_neox", "gemma2"])
def test_points_of_a_curve_have_the_same_bits(architecture: str) -> None:
    model, calls = tiny_model(architecture), list[str]()
    front = Front(model, RegionWeights(model, draw(layout(model), 0.3, 0)))
    nothing = Front(model, AllWeights(model))
    plain = walk(model, nothing, lambda batch: tree_logits(model, batch))
    counted(model, calls)
    found = walk(model, front, lambda batch: tree_logits(model, batch))
    assert all(torch.equal(a, b) for a, b in zip(found, plain, strict=True))
    assert len(BATCHES) > 1
    moving = next(iter(layout(model).shapes))
    assert calls.count(moving) == 3 * len(BATCHES)
    assert min(calls.count(name) for name in calls) == len(BATCHES), "once a batch"


def test_what_is_written_into_afterwards_is_not_remembered() -> None:
    model = tiny_model()
    front = Front(model, RegionWeights(model, draw(layout(model), 0.3, 0)))

    spoiled: list[Tensor] = []

    def keep(module: nn.Module, given: Any, out: Tensor) -> None:
        spoiled.append(out)

    model.get_input_embeddings().register_forward_hook(keep)

    def read(batch: TreeBatch) -> Tensor:
        logits = tree_logits(model, batch)
        spoiled.pop().add_(1)
        return logits

    plain = walk(model, Front(model, AllWeights(model)), lambda b: tree_logits(model, b).clone())
    spoiled.clear()
    found = walk(model, front, read)
    assert all(torch.equal(a, b) for a, b in zip(found, plain, strict=True))


def test_no_more_is_remembered_than_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lacuna.train.front.ROOM", 1)
    model, calls = tiny_model(), list[str]()
    front = Front(model, RegionWeights(model, draw(layout(model), 0.3, 0)))
    counted(model, calls)
    walk(model, front, lambda batch: tree_logits(model, batch))
    assert min(calls.count(name) for name in calls) == 3 * len(BATCHES)
