"""K-FADE: how far its steps go, and what is spared."""

from typing import Any

import torch
from support.tiny import changed, state, tiny_model, tiny_region, whole_batch
from support.unlearning import FORGET, RETAIN
from transformers import PreTrainedModel

from lacuna.model import answers
from lacuna.train import AllWeights, RegionWeights, TrainConfig, mean_kl
from lacuna.train.kfac import mean_gradients
from lacuna.unlearn import OBJECTIVES, UnlearnData, answer_nll, unlearn
from lacuna.unlearn.edits.kfade import movable_linears


def run(model: PreTrainedModel, region: bool = False, lr: float = 1.0, **options: Any) -> None:
    weights = RegionWeights(model, tiny_region(model)) if region else AllWeights(model)
    edit = OBJECTIVES["kfade"](OBJECTIVES["kfade"].Config(**options))
    unlearn(model, weights, edit, UnlearnData(FORGET, RETAIN), TrainConfig(lr=lr), 0)


def test_it_edits_linear_layers_alone() -> None:
    model = tiny_model()
    before = state(model)
    run(model)
    assert all(name.endswith("_proj.weight") for name in changed(before, model))
    assert len(changed(before, model)) == 14


def test_without_a_budget_it_is_the_identity() -> None:
    model = tiny_model()
    before = state(model)
    run(model, eps=0.0)
    assert changed(before, model) == set()


def test_the_facts_get_less_likely_with_every_step_and_budget() -> None:
    costs = []
    for options in ({"eps": 0.0}, {"steps": 1}, {"steps": 4}, {"steps": 4, "eps": 0.05}):
        model = tiny_model(dtype=torch.float64)
        run(model, region=True, **options)
        costs.append(float(answer_nll(model, FORGET).sum()))
    assert costs == sorted(costs) and costs[0] < costs[1] - 0.1


def test_one_step_under_heavy_damping_is_plain_ascent() -> None:
    model = tiny_model(dtype=torch.float64)
    before = state(model)
    modules = movable_linears(model, AllWeights(model))
    slopes = mean_gradients(model, modules, FORGET)
    run(model, steps=1, damping=1e12)
    for name, slope in slopes.items():
        moved = model.state_dict()[f"{name}.weight"] - before[f"{name}.weight"]
        torch.testing.assert_close(moved / moved.norm(), slope / slope.norm(), rtol=1e-4, atol=1e-6)


def divergence(a: PreTrainedModel, b: PreTrainedModel) -> float:
    """Mean KL of the retain answers' predictions."""
    batch = whole_batch(RETAIN)
    return float(mean_kl(answers(b, batch).logits_NV, answers(a, batch).logits_NV))


def test_per_nat_of_retain_divergence_it_forgets_more_than_plain_ascent() -> None:
    original = tiny_model(dtype=torch.float64)
    known, gained = float(answer_nll(original, FORGET).sum()), []
    for damping in (0.1, 1e9):
        model = tiny_model(dtype=torch.float64)
        run(model, steps=1, eps=1e-3, damping=damping)
        cost = divergence(original, model)
        gained.append((float(answer_nll(model, FORGET).sum()) - known) / cost**0.5)
    assert gained[0] > gained[1] > 0
