"""What may move: compact region weights equal dense ones, mixing and swapping are exact."""

import pytest
import torch
from support.tiny import (
    ARCHITECTURES,
    both_kinds,
    changed,
    changed_columns,
    distance,
    state,
    tiny_model,
    tiny_region,
)
from support.training import TEXTS, config, either_kind, either_type, nll
from torch import Tensor, nn
from transformers import PreTrainedModel

from lacuna.errors import UserError
from lacuna.model import value_modules
from lacuna.region import Region
from lacuna.train import (
    AllWeights,
    Loss,
    RegionWeights,
    editable,
    language_loss,
    mix,
    swapped,
    train,
)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_region_gradients_are_the_columns_of_the_full_gradient(architecture: str) -> None:
    model = tiny_model(architecture, dtype=torch.float64, layers=3)
    weights = RegionWeights(model, tiny_region(model))
    with weights.training():
        nll(model).backward()
    modules = value_modules(model)
    for module in modules.values():
        module.weight.requires_grad_(True)
    nll(model).backward()
    for name, columns in weights.places.items():
        full, found = modules[name].weight.grad, weights.masters[name].grad
        assert full is not None and found is not None
        torch.testing.assert_close(found, full[:, columns], rtol=1e-10, atol=1e-14)
        assert found.abs().max() > 1e-6


def dense(
    model: PreTrainedModel, region: Region, steps: int, lr: float, decay: float, clip: float
) -> None:
    """Plain AdamW on whole matrices, everything outside the region restored after each step."""
    modules = value_modules(model)
    keep = {n: torch.ones(m.in_features, dtype=torch.bool) for n, m in modules.items()}
    for name, columns in region.columns.items():
        keep[name][columns] = False
    before = {name: module.weight.detach().clone() for name, module in modules.items()}
    parameters = [module.weight.requires_grad_(True) for module in modules.values()]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=decay)
    for _ in range(steps):
        optimizer.zero_grad()
        nll(model).backward()
        for name, module in modules.items():
            assert module.weight.grad is not None
            module.weight.grad[:, keep[name]] = 0
        torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        with torch.no_grad():
            for name, module in modules.items():
                module.weight[:, keep[name]] = before[name][:, keep[name]]
    model.requires_grad_(False)


@pytest.mark.parametrize("clip", [0.01, 1e9])
def test_compact_training_equals_dense_training_with_the_rest_restored(clip: float) -> None:
    models = [tiny_model(dtype=torch.float64) for _ in range(3)]
    region, other = tiny_region(models[0]), tiny_region(models[0], seed=8)
    for model, place in zip(models[:2], (region, region), strict=True):
        if model is models[0]:
            dense(model, place, steps=4, lr=0.02, decay=0.1, clip=clip)
        else:
            options = config(weight_decay=0.1, clip=clip)
            train(model, RegionWeights(model, place), lambda _, m=model: Loss(nll(m)), options)
    assert distance(models[0], models[1]) < 1e-12
    train(models[2], RegionWeights(models[2], other), lambda _: Loss(nll(models[2])), config())
    assert distance(models[0], models[2]) > 1e-3, "another region gives other weights"


def test_the_clip_limit_counts_the_region_only() -> None:
    """Adam forgets a constant factor but not one that changes from step to step."""
    model = tiny_model(dtype=torch.float64)
    region = tiny_region(model)
    weights = RegionWeights(model, region)
    with weights.training():
        nll(model).backward()
    norms = [m.grad.norm() for m in weights.masters.values() if m.grad is not None]
    limit = float(torch.stack(norms).norm()) * 1.0001  # the whole model's norm is far above

    def trained(clip: float) -> PreTrainedModel:
        fresh = tiny_model(dtype=torch.float64)
        options = config(clip=clip, steps=1)
        seen: list[float] = []
        train(
            fresh,
            RegionWeights(fresh, region),
            lambda _: Loss(nll(fresh)),
            options,
            on_step=lambda _, metrics: seen.append(metrics["loss"]),
        )
        return fresh

    assert distance(trained(limit), trained(0)) == 0
    assert distance(trained(limit * 1e-7), trained(0)) > 1e-6, "Adam's epsilon shows a hard clip"


@either_kind
@either_type
def test_only_the_chosen_weights_move_even_with_weight_decay(kind: str, dtype: torch.dtype) -> None:
    model = tiny_model(dtype=dtype)
    before, weights = state(model), both_kinds(model)[kind]
    loss = language_loss(model, TEXTS, 3, seed=0)
    train(model, weights, loss, config(lr=0.1, weight_decay=0.5))
    assert all(master.dtype == torch.float32 for master in weights.masters.values())
    assert all(weight.dtype == dtype for weight in model.parameters())
    assert not any(weight.requires_grad for weight in model.parameters())
    moved = changed_columns(before, model)
    if kind == "region":
        columns = tiny_region(model).columns
        assert moved == {name: set(chosen.tolist()) for name, chosen in columns.items()}
    else:
        assert len(moved) == len(before)


@either_type
def test_small_steps_add_up_in_float32_masters(dtype: torch.dtype) -> None:
    """One step of 1e-4 is lost in bf16 rounding; forty of them are not."""
    model = tiny_model(dtype=dtype)
    weights = RegionWeights(model, tiny_region(model))
    before = {name: master.detach().clone() for name, master in weights.masters.items()}

    def slope(_: int) -> Loss:
        return Loss(sum((m.sum() for m in weights.masters.values()), torch.zeros(())))

    train(model, weights, slope, config(steps=40, lr=1e-4, clip=0))
    for name, now in weights.read().items():
        expected = (before[name] - 40e-4).to(dtype)
        torch.testing.assert_close(now, expected, rtol=0.008, atol=1e-6)
        assert not torch.equal(now, before[name].to(dtype))


@either_type
def test_accumulated_gradients_of_all_bf16_weights_reach_the_masters(dtype: torch.dtype) -> None:
    model = tiny_model(dtype=dtype)
    weights = AllWeights(model)

    def gradients(times: int) -> dict[str, Tensor]:
        with weights.training():
            for _ in range(times):
                nll(model).backward()
                weights.gather_gradients()
            found = {n: m.grad.clone() for n, m in weights.masters.items() if m.grad is not None}
        for master in weights.masters.values():
            master.grad = None
        return found

    once, thrice = gradients(1), gradients(3)
    assert once.keys() == weights.masters.keys()
    for name in once:
        assert thrice[name].dtype == torch.float32
        torch.testing.assert_close(thrice[name], 3 * once[name], rtol=1e-5, atol=1e-7)


@either_kind
@either_type
def test_mixing_is_exact_at_both_ends_and_moves_nothing_else(kind: str, dtype: torch.dtype) -> None:
    model = tiny_model(dtype=dtype)
    weights, before = both_kinds(model)[kind], state(model)
    start = weights.read()
    end = {name: value * 1.7 - 0.3 for name, value in start.items()}
    weights.write(end)
    after = state(model)
    for alpha, expected in ((0.0, before), (1.0, after), (0.0, before)):
        mix(weights, start, end, alpha)
        assert changed(expected, model) == set()
    mix(weights, start, end, 0.25)
    inside = set(tiny_region(model).columns) if kind == "region" else set()
    for name, value in weights.read().items():
        wanted = (0.75 * start[name].double() + 0.25 * end[name].double()).to(dtype)
        torch.testing.assert_close(
            value, wanted, rtol=1e-6 if dtype.itemsize == 4 else 0.008, atol=1e-6
        )
    if kind == "region":
        assert set(changed_columns(before, model)) == inside


def test_mixing_keeps_the_precision_of_float64_models() -> None:
    model = tiny_model(dtype=torch.float64)
    weights = AllWeights(model)
    start = weights.read()
    end = {name: value + 1e-9 for name, value in start.items()}
    mix(weights, start, end, 0.5)
    for name, value in weights.read().items():
        torch.testing.assert_close(value, start[name] + 0.5e-9, rtol=0, atol=1e-12)


@either_kind
@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_swapped_values_are_put_back_whatever_happens(
    kind: str, error: type[KeyboardInterrupt] | None
) -> None:
    model = tiny_model()
    weights, before = both_kinds(model)[kind], state(model)
    other = {name: value + 1 for name, value in weights.read().items()}
    try:
        with swapped(weights, other):
            assert all(torch.equal(value, other[n]) for n, value in weights.read().items())
            if error is not None:
                raise error()
    except KeyboardInterrupt:
        assert error is not None
    assert changed(before, model) == set()


def test_tied_weights_are_trained_once() -> None:
    model = tiny_model(tie_word_embeddings=True)
    weights = AllWeights(model)
    assert len({id(m) for m in weights.masters.values()}) == len(list(model.parameters()))
    train(model, weights, language_loss(model, TEXTS, 3, seed=0), config())
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Linear)
    assert torch.equal(head.weight, model.get_input_embeddings().weight)


def test_a_region_of_another_model_is_refused() -> None:
    with pytest.raises(UserError, match="draw a region for this model"):
        editable(tiny_model("llama"), tiny_region(tiny_model()))


def test_training_leaves_the_forward_pass_as_plain_as_before() -> None:
    model = tiny_model()
    weights = RegionWeights(model, tiny_region(model))
    with torch.no_grad():
        plain = nll(model)
    with weights.training():
        assert torch.equal(nll(model).detach(), plain), "a fused pass gives the same number"
    assert all("forward" not in vars(module) for module in value_modules(model).values())
