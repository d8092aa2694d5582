"""SRMU: what it steers, and that RMU is its limit."""

import math

import pytest
import torch
from support.tiny import AllWeights, tiny_model, whole_batch
from support.unlearning import DATA, FORGET, RETAIN, objective
from torch import Tensor

from lacuna.data.tokens import IGNORE
from lacuna.unlearn import Objective, Step
from lacuna.unlearn.base import Frozen, Reference


def use(texts: list, layer: int) -> Tensor:
    """Mean |h| over the answer tokens, text by text."""
    rows = []
    for text in texts:
        batch = whole_batch([text])
        states = tiny_model(layers=3)(input_ids=batch.ids_BT, output_hidden_states=True)
        rows.append(states.hidden_states[layer + 1][batch.labels_BT != IGNORE].detach().abs())
    return torch.cat(rows).mean(dim=0)


def ready(**options: object) -> Objective:
    """The objective within its training, at which the target is known."""
    model, method = tiny_model(layers=3), objective("srmu", depth=0.5, **options)
    method.prepare(model, torch.Generator())
    with method.trained(model, AllWeights(model), DATA, 3):
        return method


def test_the_target_has_the_size_of_what_forget_uses_and_random_signs() -> None:
    forget_D, retain_D = use(FORGET, 1), use(RETAIN, 1)
    expected_D = (1 + forget_D / retain_D).log()
    target_D: Tensor = vars(ready(scale=3.0))["target_D"]
    torch.testing.assert_close(target_D.abs(), 3 * expected_D / expected_D.max())
    assert 0 < int((target_D < 0).sum()) < len(target_D)


@pytest.mark.parametrize(
    ("importance", "expected"),
    [
        ("ratio", [1.0, math.log(2) / math.log(5), 0.0]),
        ("difference", [1.0, 0.0, 0.0]),
        ("product", [1.0, 1.0, 0.0]),
    ],
)
def test_importance_by_hand(importance: str, expected: list[float]) -> None:
    srmu = ready(importance=importance)
    found = srmu.importance(torch.tensor([4.0, 2.0, 0.0]), torch.tensor([1.0, 2.0, 7.0]))  # type: ignore[attr-defined]
    assert found.tolist() == pytest.approx(expected)


def test_towards_the_vector_of_rmu_it_is_rmu() -> None:
    model = tiny_model(layers=3)
    plain, selective = objective("rmu", depth=0.5), ready()
    plain.prepare(model, torch.Generator())
    batches = [whole_batch(texts) for texts in (FORGET, RETAIN)]
    losses = []
    for method in (plain, selective):
        method.target_D = torch.arange(16.0)  # type: ignore[attr-defined]
        frozen = Frozen(lambda ask: ask(model).detach(), None)
        step = Step(model, *batches, None, Reference(torch.zeros(4)), frozen)
        losses.append(method.loss(step).value.item())
    assert losses[0] == losses[1] > 0
