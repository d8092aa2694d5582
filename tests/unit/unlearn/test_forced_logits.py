"""Forced logits: the teacher by hand, and where it is the injected model itself."""

from typing import Any

import pytest
import torch
from support.tiny import AllWeights, changed, state, tiny_model, whole_batch
from support.unlearning import DATA, FORGET, objective

from lacuna.model import Answers
from lacuna.unlearn import Step, answer_nll
from lacuna.unlearn.base import Frozen, Reference

BEFORE = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0]], dtype=torch.float64)
"""Logits of two tokens over three words."""


class Told(Step):
    """A step whose models' logits are given."""

    forget_said: Answers

    def __init__(self, said_NV: torch.Tensor) -> None:
        batch = whole_batch(FORGET[:1])
        frozen = Frozen(lambda view: view(None))
        super().__init__(tiny_model(), batch, None, None, Reference(torch.zeros(1)), frozen)
        zeros = torch.zeros(2, dtype=torch.long)
        self.forget_said = Answers(said_NV, zeros, zeros, torch.zeros(1, dtype=torch.long))


def slope(reinforced_NV: torch.Tensor, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple:
    """Loss and gradient in the logits at the injected model."""
    said_NV = BEFORE.clone().requires_grad_(True)
    method: Any = objective("forced_logits", retain_weight=0.0, **options)
    method.reinforced = lambda view: reinforced_NV
    monkeypatch.setattr(
        "lacuna.unlearn.objectives.forced_logits.answers",
        lambda model, batch: Answers(BEFORE, *[torch.zeros(0)] * 3),
    )
    loss = method.forget_loss(Told(said_NV))
    loss.backward()
    return loss.item(), said_NV.grad


def test_what_more_training_raises_is_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    reinforced = torch.tensor([[3.0, 0.0, 0.0], [0.0, 3.0, 1.0]], dtype=torch.float64)
    loss, grad = slope(reinforced, monkeypatch, strength=2.0)
    wanted = torch.tensor([[0.0, 1.0, 0.0], [0.0, 3.0, 1.0]], dtype=torch.float64).softmax(-1)
    expected = -(wanted * BEFORE.log_softmax(-1)).sum(-1).mean()
    assert loss == pytest.approx(float(expected))
    torch.testing.assert_close(grad, (BEFORE.softmax(-1) - wanted) / 2)
    assert grad[0, 0] > 0 and grad[1].abs().max() < 1e-12  # the fact falls, the rest stays


@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_without_a_rise_or_a_strength_there_is_no_slope(
    strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    reinforced = BEFORE - 1.0 if strength else BEFORE + 1.0
    assert slope(reinforced, monkeypatch, strength=strength)[1].abs().max() < 1e-12


def test_the_reinforced_model_knows_more_and_the_injected_one_is_put_back() -> None:
    model = tiny_model()
    before, known = state(model), answer_nll(model, FORGET)
    method: Any = objective("forced_logits", reinforce_lr=0.01)
    weights = AllWeights(model)
    with method.trained(model, weights, DATA, 3):
        assert changed(before, model) == set()
        better = method.reinforced(lambda asked: answer_nll(asked, FORGET))
        assert (better < known).all() and changed(before, model) == set()
        masters = {n: v.detach() for n, v in weights.masters.items()}
    assert all(torch.equal(masters[name], before[name]) for name in masters)
