"""Objectives on answers: values by hand, limits, signs."""

import math
from typing import Any

import pytest
import torch
from tiny import (
    tiny_model,
)
from torch import Tensor

from lacuna.data.tokens import Batch
from lacuna.model import Answers
from lacuna.unlearn import OBJECTIVES, Objective, Step
from lacuna.unlearn.base import Frozen, Reference


def objective(name: str, **options: Any) -> Objective:
    return OBJECTIVES[name](OBJECTIVES[name].Config(**options))


def told(probabilities: list[list[float]]) -> Answers:
    """Answers whose tokens have the given probabilities, over a vocabulary of two."""
    p_N = torch.tensor(sum(probabilities, []), dtype=torch.float64)
    row_N = torch.tensor([b for b, row in enumerate(probabilities) for _ in row])
    logits_NV = torch.stack([p_N.log(), (1 - p_N).log()], dim=1).requires_grad_(True)
    labels_N = torch.zeros(len(p_N), dtype=torch.long)
    return Answers(logits_NV, labels_N, row_N, torch.arange(len(probabilities)))


FACTS = [[0.5, 0.25], [0.8]]
UNSURE = [[0.1], [0.2, 0.4, 0.5]]
KEPT = 0.7
"""Retain NLL of the handmade step."""


def by_hand(
    forget: list[list[float]] = FACTS,
    forget_reference: list[float] = [1.0, 0.1],  # noqa: B006
    refusal_reference: list[float] = [2.0, 5.0],  # noqa: B006
) -> Step:
    """A step in which what the model says is given instead of computed."""
    empty = torch.zeros(0)
    rows = Batch(empty, empty, torch.arange(2), empty)
    reference = Reference(torch.tensor(forget_reference), torch.tensor(refusal_reference))
    step = Step(tiny_model(), rows, rows, rows, reference, Frozen(lambda _: empty))
    vars(step).update(
        forget_said=told(forget),
        refusal_said=told(UNSURE),
        retain_nll=torch.tensor(KEPT, dtype=torch.float64),
    )
    return step


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def npo_value(beta: float, mean: bool) -> float:
    ratios = [math.log(0.5 * 0.25) + 1.0, math.log(0.8) + 0.1]
    if mean:
        ratios = [ratios[0] / 2, ratios[1]]
    return -2 / beta * sum(log_sigmoid(-beta * r) for r in ratios) / 2


def dpo_value(beta: float) -> float:
    fact = [math.log(0.5 * 0.25) + 1.0, math.log(0.8) + 0.1]
    refusal = [math.log(0.1) + 2.0, math.log(0.2 * 0.4 * 0.5) + 5.0]
    pairs = zip(refusal, fact, strict=True)
    return -2 / beta * sum(log_sigmoid(beta * (r - f)) for r, f in pairs) / 2


def wga_value(alpha: float) -> float:
    return sum(p**alpha * math.log(p) for p in (0.5, 0.25, 0.8)) / 3


HANDMADE: list[tuple[str, dict[str, Any], float]] = [
    ("ga", {}, math.log(0.5 * 0.25 * 0.8) / 3),
    ("ga", {"retain_weight": 2.0}, math.log(0.5 * 0.25 * 0.8) / 3 + 2 * KEPT),
    ("graddiff", {}, math.log(0.5 * 0.25 * 0.8) / 3 + KEPT),
    ("wga", {"alpha": 1.0}, wga_value(1.0) + KEPT),
    ("wga", {"alpha": 0.3, "retain_weight": 0.0}, wga_value(0.3)),
    ("npo", {"beta": 0.5}, npo_value(0.5, mean=False) + KEPT),
    ("npo", {"beta": 2.0, "retain_weight": 3.0}, npo_value(2.0, mean=False) + 3 * KEPT),
    ("npo", {"beta": 0.5, "reduction": "mean"}, npo_value(0.5, mean=True) + KEPT),
    ("dpo", {"beta": 0.5}, dpo_value(0.5) + KEPT),
    ("dpo", {"beta": 2.0, "retain_weight": 0.0}, dpo_value(2.0)),
]


@pytest.mark.parametrize(("name", "options", "expected"), HANDMADE)
def test_an_objective_has_its_hand_computed_value(
    name: str, options: dict[str, Any], expected: float
) -> None:
    loss = objective(name, **options).loss(by_hand())
    assert loss.value.item() == pytest.approx(expected, rel=1e-6)
    weight = options.get("retain_weight", 0.0 if name == "ga" else 1.0)
    assert ("loss/retain" in loss.metrics) == (weight > 0)
    kept = weight * KEPT
    assert loss.metrics["loss/forget"].item() == pytest.approx(expected - kept, rel=1e-6)


@pytest.mark.parametrize("name", ["ga", "graddiff", "wga", "npo", "dpo"])
def test_descent_makes_every_token_of_the_facts_less_likely(name: str) -> None:
    step = by_hand()
    objective(name).loss(step).value.backward()
    gradient_NV = step.forget_said.logits_NV.grad
    assert gradient_NV is not None
    assert (gradient_NV[:, 0] > 0).all()
    if name == "dpo":
        refusal_NV = step.refusal_said.logits_NV.grad
        assert refusal_NV is not None and (refusal_NV[:, 0] < 0).all()


def test_the_weight_of_weighted_ascent_carries_no_gradient() -> None:
    step = by_hand()
    objective("wga", alpha=1.0).loss(step).value.backward()
    gradient_NV = step.forget_said.logits_NV.grad
    assert gradient_NV is not None
    # d/dlogit of p* log p with p* fixed is p* (1 - p); of p log p it would be p (1 + log p)(1 - p)
    expected = [p * (1 - p) / 3 for p in (0.5, 0.25, 0.8)]
    assert gradient_NV[:, 0].tolist() == pytest.approx(expected)


def gradient(name: str, reference: list[float], **options: Any) -> Tensor:
    """Gradient on handmade answers of equal length."""
    step = by_hand([[0.5, 0.25], [0.8, 0.3]], forget_reference=reference)
    objective(name, retain_weight=0.0, **options).loss(step).value.backward()
    found = step.forget_said.logits_NV.grad
    assert found is not None
    return found


def test_npo_tends_to_gradient_ascent_as_beta_falls() -> None:
    ascent = gradient("ga", [0.0, 0.0])
    far = [9.0, 0.01]
    torch.testing.assert_close(
        gradient("npo", far, beta=1e-6), 2 * ascent, rtol=1e-4, atol=0
    )  # two tokens an answer: sums are twice the means
    mean = gradient("npo", far, beta=1e-6, reduction="mean")
    torch.testing.assert_close(mean, ascent, rtol=1e-4, atol=0)
    assert not torch.allclose(gradient("npo", far, beta=1.0), 2 * ascent, rtol=0.1)


def test_npo_leaves_alone_what_is_already_forgotten() -> None:
    forgotten, known = gradient("npo", [-60.0, 0.0], beta=1.0).split(2)
    assert forgotten.abs().max() < 1e-20 < 1e-3 < known.abs().max()


def test_weighted_ascent_with_alpha_zero_is_gradient_difference() -> None:
    steps = [by_hand(), by_hand()]
    losses = [
        objective("wga", alpha=0.0).loss(steps[0]),
        objective("graddiff").loss(steps[1]),
    ]
    assert losses[0].value.item() == losses[1].value.item()
    for loss in losses:
        loss.value.backward()
    grads = [step.forget_said.logits_NV.grad for step in steps]
    assert grads[0] is not None and grads[1] is not None and torch.equal(grads[0], grads[1])
