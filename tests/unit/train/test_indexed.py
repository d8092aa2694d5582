"""Single weights in training: compact equals dense, and nothing else moves by a bit."""

import pytest
import torch
from support.tiny import (
    ARCHITECTURES,
    changed,
    same_bits,
    state,
    tiny_model,
    tiny_texts,
)
from support.training import TEXTS, config, either_type, nll
from torch import Tensor
from transformers import PreTrainedModel

from lacuna.errors import UserError
from lacuna.model import layout
from lacuna.region import WeightRegion, draw_masks, scored_shapes
from lacuna.train import (
    AllWeights,
    IndexedWeights,
    Loss,
    editable,
    mix,
    swapped,
    train,
)
from lacuna.unlearn import OBJECTIVES, WRAPPERS, UnlearnData, parse, unlearn


def tiny_weights(model: PreTrainedModel, group: int = 0) -> WeightRegion:
    shapes = scored_shapes(layout(model))
    return draw_masks(type(model).__name__, shapes, 3, 0.2, seed=5).union([group])


def moved_outside(before: dict[str, Tensor], model: PreTrainedModel, region: WeightRegion) -> bool:
    """Whether any bit outside the region differs; asserts that some inside do."""
    inside = outside = False
    for name, now in model.state_dict().items():
        differs = before[name].view(torch.uint8) != now.contiguous().view(torch.uint8)
        differs = differs.reshape(*now.shape, -1).any(dim=-1)
        held = region.mask(name) if name in region.shapes else torch.zeros_like(differs)
        inside |= bool((differs & held).any())
        outside |= bool((differs & ~held).any())
    assert inside
    return outside


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_are_the_chosen_entries_of_the_full_gradient(architecture: str) -> None:
    model = tiny_model(architecture, dtype=torch.float64)
    weights = IndexedWeights(model, tiny_weights(model))
    with weights.training():
        nll(model).backward()
    model.requires_grad_(True)
    nll(model).backward()
    full = dict(model.named_parameters())
    assert set(weights.masters) == set(scored_shapes(layout(model)))
    for name, master in weights.masters.items():
        dense = full[name].grad
        assert dense is not None and master.grad is not None
        wanted = dense.reshape(-1)[weights.places[name]]
        torch.testing.assert_close(master.grad, wanted, rtol=1e-9, atol=1e-13)


def test_compact_training_equals_dense_training_with_the_rest_restored() -> None:
    compact, dense = (tiny_model(dtype=torch.float64) for _ in range(2))
    region = tiny_weights(compact)
    train(
        compact,
        IndexedWeights(compact, region),
        lambda _: Loss(nll(compact)),
        config(weight_decay=0.1, clip=0.05),
    )
    named = {n: w.requires_grad_(True) for n, w in dense.named_parameters() if n in region.shapes}
    before = state(dense)
    optimizer = torch.optim.AdamW(named.values(), lr=0.02, weight_decay=0.1)
    for _ in range(4):
        optimizer.zero_grad()
        nll(dense).backward()
        for name, weight in named.items():
            assert weight.grad is not None
            weight.grad[~region.mask(name)] = 0
        torch.nn.utils.clip_grad_norm_(named.values(), 0.05)
        optimizer.step()
        with torch.no_grad():
            for name, weight in named.items():
                weight[~region.mask(name)] = before[name][~region.mask(name)]
    for name, weight in compact.named_parameters():
        torch.testing.assert_close(weight, dict(dense.named_parameters())[name], atol=1e-12, rtol=0)
    assert float((compact.state_dict()[next(iter(named))] - before[next(iter(named))]).abs().max())


@either_type
@pytest.mark.parametrize(
    "name", ["ga", "graddiff", "npo", "dpo", "simnpo", "rmu", "npo+sam", "wga+smoothing"]
)
def test_no_objective_moves_a_bit_outside_even_with_weight_decay(
    name: str, dtype: torch.dtype
) -> None:
    model = tiny_model(dtype=dtype)
    region, before = tiny_weights(model), state(model)
    base, around = parse(name)
    data = UnlearnData(tiny_texts(4, seed=1), tiny_texts(4, seed=2), tiny_texts(4, seed=3))
    unlearn(
        model,
        editable(model, region),
        OBJECTIVES[base](OBJECTIVES[base].Config()),
        data,
        config(weight_decay=0.5, batch_size=2, lr=0.1, steps=2, accumulation=2),
        seed=0,
        wrappers=[WRAPPERS[wrapper](WRAPPERS[wrapper].Config()) for wrapper in around],
    )
    assert not moved_outside(before, model, region)


def test_a_shift_of_all_weights_leaves_the_gradients_where_they_belong() -> None:
    """SAM with reach=all trains every weight inside the training of a few."""
    found = {}
    for reach in ("editable", "all"):
        model = tiny_model()
        before, region = state(model), tiny_weights(model)
        options = WRAPPERS["sam"].Config(reach=reach, rho=0.5)
        unlearn(
            model,
            editable(model, region),
            OBJECTIVES["wga"](OBJECTIVES["wga"].Config()),
            UnlearnData(TEXTS, tiny_texts(4, seed=2), []),
            config(batch_size=3),
            seed=0,
            wrappers=[WRAPPERS["sam"](options)],
        )
        assert not moved_outside(before, model, region)
        found[reach] = state(model)
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(found["editable"][name], found["all"][name])


@pytest.mark.parametrize("checkpointing", [False, True])
def test_recomputed_activations_give_the_same_bits(checkpointing: bool) -> None:
    model = tiny_model()
    plain = tiny_model()
    for m, on in ((model, checkpointing), (plain, False)):
        weights = IndexedWeights(m, tiny_weights(m))
        train(m, weights, lambda _, m=m: Loss(nll(m)), config(checkpointing=on))
    assert changed(state(plain), model) == set()


@either_type
def test_mixing_and_swapping_are_exact_and_touch_nothing_else(dtype: torch.dtype) -> None:
    model, other = tiny_model(dtype=dtype), tiny_model(seed=1, dtype=dtype)
    region, before = tiny_weights(model), state(model)
    weights = editable(model, region)
    start, end = weights.read(), weights.read(other)
    mix(weights, start, end, 1.0)
    assert not moved_outside(before, model, region)
    for name in region.shapes:
        held = region.mask(name)
        assert same_bits(model.state_dict()[name][held], other.state_dict()[name][held])
    mix(weights, start, end, 0.5)
    mix(weights, start, end, 0.0)
    assert changed(before, model) == set()
    with swapped(weights, end):
        assert changed(before, model) == set(region.shapes)
    assert changed(before, model) == set()


def test_masters_and_moments_are_as_small_as_the_region() -> None:
    model = tiny_model(dtype=torch.bfloat16)
    region = tiny_weights(model)
    weights = IndexedWeights(model, region)
    assert {n: len(m) for n, m in weights.masters.items()} == region.by_tensor()
    assert all(master.dtype == torch.float32 for master in weights.masters.values())
    with weights.training():
        nll(model).backward()
        assert all(weight.grad is None for weight in model.parameters())
    assert not any(weight.requires_grad for weight in model.parameters())
    assert all("forward" not in vars(module) for module in model.modules())


def test_masters_follow_a_model_that_somebody_else_moved() -> None:
    model = tiny_model()
    weights = IndexedWeights(model, tiny_weights(model))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1)
    weights.refresh()
    for name, value in weights.read().items():
        assert torch.equal(weights.masters[name], value)


def test_frozen_parameters_of_full_training_stay() -> None:
    model = tiny_model()
    before = state(model)
    weights = AllWeights(model, frozen=["model.embed_tokens.weight"])
    train(model, weights, lambda _: Loss(nll(model)), config(weight_decay=0.1))
    assert changed(before, model) == set(before) - {"model.embed_tokens.weight"}


def test_a_region_of_another_model_is_refused() -> None:
    with pytest.raises(UserError, match="draw masks for this model"):
        editable(tiny_model("llama"), tiny_weights(tiny_model()))
