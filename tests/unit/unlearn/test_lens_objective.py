"""Lens unlearning: readings of the layers by plain forward passes."""

import math

import pytest
import torch
from support.tiny import tiny_model, whole_batch
from support.unlearning import FORGET, objective
from transformers import PreTrainedModel

from lacuna.data.tokens import IGNORE
from lacuna.unlearn import Step
from lacuna.unlearn.base import Frozen, Reference


def loss(model: PreTrainedModel, first: float) -> torch.Tensor:
    batch = whole_batch(FORGET)
    step = Step(model, batch, None, None, Reference(torch.zeros(4)), Frozen())
    return objective("lens", first=first, retain_weight=0.0).loss(step).value


def by_hand(model: PreTrainedModel, layers: list[int]) -> float:
    """Mean over layers and tokens of KL(uniform || reading)."""
    found = []
    for text in FORGET:
        said = model(input_ids=torch.tensor([text.ids]), output_hidden_states=True)
        for layer in layers:
            logits_TV = said.logits[0]
            if layer < model.config.num_hidden_layers - 1:
                logits_TV = model.lm_head(model.model.norm(said.hidden_states[layer + 1][0]))
            logp_TV = logits_TV.log_softmax(-1)
            asked = [t - 1 for t, label in enumerate(text.labels) if label != IGNORE]
            found += [float(-logp_TV[t].mean() - math.log(len(logp_TV[t]))) for t in asked]
    return sum(found) / len(found)


def test_it_is_the_distance_of_every_layers_reading_from_uniform() -> None:
    model = tiny_model(layers=3)
    assert loss(model, 0.0).item() == pytest.approx(by_hand(model, [0, 1, 2]), rel=1e-5)
    assert loss(model, 0.5).item() == pytest.approx(by_hand(model, [1, 2]), rel=1e-5)


def test_of_the_last_layer_it_is_the_distance_of_the_models_own_output() -> None:
    model = tiny_model(layers=3)
    assert loss(model, 0.99).item() == pytest.approx(by_hand(model, [2]), rel=1e-5)


def test_uniform_readings_are_the_end_of_it() -> None:
    model = tiny_model(layers=3)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    model.lm_head.weight.requires_grad_(True)
    found = loss(model, 0.0)
    found.backward()
    assert found.item() == pytest.approx(0, abs=1e-6)
    assert model.lm_head.weight.grad is not None
    assert model.lm_head.weight.grad.abs().max() < 1e-6
