"""Objectives on hidden states: RMU and output matching."""

from collections.abc import Callable

import pytest
import torch
from support.tiny import (
    changed,
    state,
    tiny_model,
    tiny_region,
    whole_batch,
)
from support.unlearning import DATA, FORGET, REFUSALS, RETAIN, objective
from torch import Tensor
from transformers import PreTrainedModel

from lacuna.data.tokens import IGNORE
from lacuna.model.hidden import outputs
from lacuna.train import RegionWeights, TrainConfig
from lacuna.unlearn import Step, unlearn
from lacuna.unlearn.base import Frozen, Reference


def step_of(model: PreTrainedModel, original: Callable[..., Tensor] | None = None) -> Step:
    frozen = Frozen(original or (lambda ask: ask(model).detach()), tiny_model(seed=9))
    batches = [whole_batch(texts) for texts in (FORGET, RETAIN, REFUSALS)]
    return Step(model, *batches, Reference(torch.zeros(4)), frozen)


def test_rmu_is_the_mean_squared_distance_to_its_direction() -> None:
    model = tiny_model(layers=3)
    method = objective("rmu", depth=0.5, scale=3.0, retain_weight=0.0)
    method.prepare(model, torch.Generator().manual_seed(4))
    target_D: Tensor = vars(method)["target_D"]
    drawn = torch.rand(16, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(target_D, 3 * drawn / drawn.norm())
    batch = whole_batch(FORGET)
    hidden = model(input_ids=batch.ids_BT, output_hidden_states=True).hidden_states[2]
    rows = hidden[batch.labels_BT != IGNORE]
    expected = sum(float(((h - target_D) ** 2).mean()) for h in rows) / len(rows)
    assert method.loss(step_of(model)).value.item() == pytest.approx(expected, rel=1e-5)


def test_rmu_of_whole_texts_is_a_mean_over_texts_of_means_over_all_their_tokens() -> None:
    model = tiny_model(layers=3)
    method = objective("rmu", depth=0.5, retain_weight=0.0, tokens="all")
    method.prepare(model, torch.Generator().manual_seed(4))
    target_D: Tensor = vars(method)["target_D"]
    means = []
    for text in FORGET:  # each alone: no padding, no batch
        ids = torch.tensor([text.ids])
        hidden_TD = model(input_ids=ids, output_hidden_states=True).hidden_states[2][0]
        means.append(float(((hidden_TD - target_D) ** 2).sum() / (len(text.ids) * 16)))
    found = method.loss(step_of(model)).value.item()
    assert found == pytest.approx(sum(means) / len(means), rel=1e-5)
    assert len({len(text.ids) for text in FORGET}) > 1  # else pooling would do as well


def test_rmus_retain_term_is_zero_at_the_start_and_grows_as_the_model_moves() -> None:
    seen: list[float] = []
    model = tiny_model()
    unlearn(
        model,
        RegionWeights(model, tiny_region(model)),
        objective("rmu"),
        DATA,
        TrainConfig(steps=4, lr=0.05, batch_size=6),
        seed=0,
        on_step=lambda _, metrics: seen.append(metrics["loss/retain"]),
    )
    assert seen[0] == 0.0
    assert all(value > 1e-6 for value in seen[1:])


def test_rmus_retain_term_asks_the_model_before_unlearning() -> None:
    model, original = tiny_model(), tiny_model(seed=5)
    method = objective("rmu", depth=0.0)
    method.prepare(model, torch.Generator().manual_seed(0))
    loss = method.loss(step_of(model, lambda ask: ask(original).detach()))
    batch = whole_batch(RETAIN)
    kept = batch.labels_BT != IGNORE
    now, before = (
        m(input_ids=batch.ids_BT, output_hidden_states=True).hidden_states[1][kept]
        for m in (model, original)
    )
    expected = float(((now - before) ** 2).mean())
    assert loss.metrics["loss/retain"].item() == pytest.approx(expected, rel=1e-5)
    total = loss.metrics["loss/forget"].item() + expected
    assert loss.value.item() == pytest.approx(total, rel=1e-5)


def test_rmu_draws_its_direction_by_seed() -> None:
    directions = []
    for seed in (1, 1, 2):
        method, model = objective("rmu"), tiny_model()
        weights, config = RegionWeights(model, tiny_region(model)), TrainConfig(steps=0)
        unlearn(model, weights, method, DATA, config, seed)
        directions.append(vars(method)["target_D"])
    assert torch.equal(directions[0], directions[1])
    assert not torch.equal(directions[0], directions[2])


def test_matching_is_zero_with_no_slope_at_the_retained_model() -> None:
    model, retained = tiny_model(seed=9), tiny_model(seed=9)
    before, weights = state(model), RegionWeights(model, tiny_region(model))
    method, config = objective("match", retain_weight=0.0), TrainConfig(steps=4, lr=0.02)
    history = unlearn(model, weights, method, DATA, config, seed=0, retained=retained)
    assert history.losses == [0.0] * 4
    assert changed(before, model) == set()


def test_matching_sums_over_layers_the_mean_distance_of_mlp_outputs() -> None:
    model, retained = tiny_model(), tiny_model(seed=9)
    expected = 0.0
    for layer in range(2):
        distances = []
        for text in FORGET:  # one by one: padding must not count
            batch = whole_batch([text])
            a, b = (
                outputs(m, batch, [m.get_submodule(f"model.layers.{layer}.mlp.down_proj")])[0][0]
                for m in (model, retained)
            )
            distances += [float((x - y).pow(2).sum()) ** 0.5 for x, y in zip(a, b, strict=True)]
        expected += sum(distances) / len(distances)
    found = objective("match", retain_weight=0.0).loss(step_of(model)).value.item()
    assert found == pytest.approx(expected, rel=1e-5)
    assert objective("match").config.retain_weight == 2.0


def test_matching_can_reach_the_retained_model_through_the_region_that_differs() -> None:
    model, retained = tiny_model(seed=9), tiny_model(seed=9)
    weights = RegionWeights(model, tiny_region(model))
    weights.write({name: value + 0.2 for name, value in weights.read().items()})
    config = TrainConfig(steps=60, lr=0.02, batch_size=4)
    weights = RegionWeights(model, tiny_region(model))
    method = objective("match", retain_weight=0.0)
    history = unlearn(model, weights, method, DATA, config, seed=0, retained=retained)
    assert history.losses[-1] < 0.05 * history.losses[0]
