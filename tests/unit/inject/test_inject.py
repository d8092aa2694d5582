"""Injection writes facts into the region and nowhere else."""

from dataclasses import replace

import pytest
import torch
from support.tiny import (
    changed,
    changed_columns,
    same_bits,
    state,
    tiny_model,
    tiny_region,
)
from support.training import either_type
from support.unlearning import FORGET, RETAIN

from lacuna.inject import InjectConfig, equal_outside, inject, learn
from lacuna.model import value_modules
from lacuna.train import RegionWeights, TrainConfig, swapped
from lacuna.unlearn import answer_nll

CONFIG = InjectConfig(
    train=TrainConfig(steps=12, lr=0.05, batch_size=4, weight_decay=0.2, schedule="constant")
)


@either_type
def test_injection_teaches_the_facts_and_moves_the_region_only(dtype: torch.dtype) -> None:
    model = tiny_model(dtype=dtype)
    before, region = state(model), tiny_region(model)
    start = answer_nll(model, FORGET).sum()
    history = inject(model, region, FORGET, RETAIN, CONFIG, seed=0)
    assert answer_nll(model, FORGET).sum() < start - 5
    assert len(history.losses) == 12
    expected = {name: set(columns.tolist()) for name, columns in region.columns.items()}
    assert changed_columns(before, model) == expected
    assert equal_outside(tiny_model(dtype=dtype), model, region)


def test_the_retain_regulariser_counts_as_often_as_its_weight_says() -> None:
    seen: dict[float, dict[str, float]] = {}
    for weight in (0.0, 2.0):
        model = tiny_model()
        config = replace(CONFIG, retain_weight=weight, train=replace(CONFIG.train, steps=1))
        inject(
            model,
            tiny_region(model),
            FORGET,
            RETAIN,
            config,
            seed=0,
            on_step=lambda _, metrics, weight=weight: seen.update({weight: dict(metrics)}),
        )
    for weight, metrics in seen.items():
        expected = metrics["loss/forget"] + weight * metrics["loss/retain"]
        assert metrics["loss"] == pytest.approx(expected, rel=1e-6)
    assert seen[0.0]["loss/forget"] == seen[2.0]["loss/forget"]


def test_restoring_the_regions_values_gives_the_retained_model_back() -> None:
    retained, model = tiny_model(), tiny_model()
    region = tiny_region(model)
    inject(model, region, FORGET, RETAIN, CONFIG, seed=0)
    injected = state(model)
    with swapped(RegionWeights(model, region), RegionWeights(retained, region).read()):
        assert changed(state(retained), model) == set()
        assert torch.equal(answer_nll(model, FORGET), answer_nll(retained, FORGET))
    assert changed(injected, model) == set()


def test_equality_outside_notices_one_bit_and_puts_the_region_back() -> None:
    before, after = tiny_model(), tiny_model()
    region = tiny_region(after)
    name, module = next(iter(value_modules(after).items()))
    inside = int(region.columns[name][0])
    outside = int(region.complement().columns[name][0])
    with torch.no_grad():
        module.weight[:, inside] += 1
    moved = state(after)
    assert equal_outside(before, after, region)
    assert changed(moved, after) == set()
    with torch.no_grad():
        module.weight[3, outside] = torch.nextafter(module.weight[3, outside], torch.tensor(9.0))
    assert not equal_outside(before, after, region)


def test_equality_outside_tells_minus_zero_from_zero() -> None:
    before, after = tiny_model(), tiny_model()
    region = tiny_region(after)
    for model, zero in ((before, 0.0), (after, -0.0)):
        with torch.no_grad():
            model.get_input_embeddings().weight[2, 3] = zero
    assert not equal_outside(before, after, region)


def test_injection_repeats_by_seed_and_zero_steps_is_the_identity() -> None:
    def injected(seed: int, steps: int = 3) -> dict[str, torch.Tensor]:
        model = tiny_model()
        train = replace(CONFIG.train, steps=steps, batch_size=2)
        region = tiny_region(model)
        inject(model, region, FORGET, RETAIN, replace(CONFIG, train=train), seed)
        return state(model)

    def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
        return all(same_bits(a[name], b[name]) for name in a)

    assert same(injected(1), injected(1))
    assert not same(injected(1), injected(2))
    assert same(injected(1, steps=0), state(tiny_model()))


def test_learning_moves_every_parameter_and_lowers_the_loss() -> None:
    model = tiny_model()
    before, start = state(model), answer_nll(model, RETAIN).sum()
    learn(model, RETAIN, TrainConfig(steps=10, lr=0.02, batch_size=6), seed=0)
    assert changed(before, model) == set(before)
    assert answer_nll(model, RETAIN).sum() < start - 5
