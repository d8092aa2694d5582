"""K-FAC: factors against plain autograd and dense algebra, and what they predict of a step."""

import pytest
import torch
from support.tiny import changed, state, tiny_model, tiny_texts, whole_batch
from torch import Tensor

from lacuna.errors import UserError
from lacuna.model import answers, value_modules
from lacuna.train import mean_nll
from lacuna.train.kfac import Factors, factors, mean_gradients, traffic

TEXTS = tiny_texts(6)


def test_inputs_and_slopes_make_up_the_gradient_and_leave_the_model_alone() -> None:
    model = tiny_model(dtype=torch.float64)
    before, modules = state(model), value_modules(model)
    found = mean_gradients(model, modules, TEXTS, max_tokens=20)
    assert changed(before, model) == set()
    assert all(weight.grad is None for weight in model.parameters())
    for module in modules.values():
        module.weight.requires_grad_(True)
    loss = mean_nll(answers(model, whole_batch(TEXTS)))
    expected = torch.autograd.grad(loss, [m.weight for m in modules.values()])
    for name, gradient in zip(modules, expected, strict=True):
        torch.testing.assert_close(found[name], gradient)


def test_padding_is_no_position() -> None:
    model = tiny_model()
    found = traffic(model, value_modules(model), whole_batch(TEXTS), mean_nll)
    tokens = sum(len(text.ids) - 1 for text in TEXTS)
    assert {len(a_PF) for a_PF, _ in found.values()} == {tokens}


def test_a_loss_that_does_not_reach_a_layer_is_refused() -> None:
    model = tiny_model()
    with pytest.raises(UserError, match="turn off checkpointing"):
        traffic(model, value_modules(model), whole_batch(TEXTS), _elsewhere)


def _elsewhere(_: object) -> Tensor:
    return torch.ones(1, requires_grad=True).sum()


def spread(size: int, seed: int) -> Tensor:
    drawn = torch.randn(size + 3, size, generator=torch.Generator().manual_seed(seed)).double()
    return drawn.T @ drawn / size


def test_solving_is_the_dense_inverse_of_the_columns_curvature() -> None:
    inputs, outputs = spread(5, 1), spread(3, 2)
    gradient = torch.randn(3, 2, generator=torch.Generator().manual_seed(3)).double()
    columns = torch.tensor([1, 4])
    inner = inputs[columns][:, columns]
    dense = torch.kron(outputs, inner)
    level = 0.3 * torch.linalg.eigvalsh(dense).mean()
    expected = torch.linalg.solve(dense + level * torch.eye(6).double(), gradient.flatten())
    found = Factors(inputs, outputs).solve(gradient, columns, 0.3)
    torch.testing.assert_close(found.flatten(), expected, rtol=1e-8, atol=1e-10)


def test_heavy_damping_leaves_the_gradients_direction() -> None:
    gradient = torch.randn(3, 5, generator=torch.Generator().manual_seed(3)).double()
    found = Factors(spread(5, 1), spread(3, 2)).solve(gradient, torch.arange(5), 1e9)
    torch.testing.assert_close(found / found.norm(), gradient / gradient.norm())


def test_a_silent_layer_is_refused() -> None:
    with pytest.raises(UserError, match="no curvature"):
        Factors(torch.zeros(2, 2), torch.eye(3)).solve(torch.ones(3, 2), torch.arange(2), 0.1)


def test_a_step_costs_the_divergence_that_curvature_says() -> None:
    """Of a head of zeros predictions are uniform whatever goes in: factors are exact there."""
    model, texts = tiny_model(dtype=torch.float64), tiny_texts(6) * 150
    with torch.no_grad():
        model.lm_head.weight.zero_()
    head, eps = {"head": model.lm_head}, 1e-4
    generator = torch.Generator().manual_seed(0)
    known = factors(model, head, texts, generator)["head"]
    gradient = mean_gradients(model, head, TEXTS)["head"]
    step = known.solve(gradient, torch.arange(16), 1e-3)
    scale = (2 * eps / float((gradient * step).sum())) ** 0.5
    before = answers(model, whole_batch(TEXTS)).logits_NV.log_softmax(-1)
    with torch.no_grad():
        model.lm_head.weight += scale * step
    after = answers(model, whole_batch(TEXTS)).logits_NV.log_softmax(-1)
    divergence = float((before.exp() * (before - after)).sum(-1).mean())
    assert divergence / eps == pytest.approx(1, abs=0.15)
