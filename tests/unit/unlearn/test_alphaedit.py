"""AlphaEdit: its linear algebra against dense solutions, its promises on small models."""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny import changed, distance, state, tiny_model, tiny_region, tiny_texts, whole_batch
from support.unlearning import FORGET, REFUSALS
from torch import Tensor
from transformers import PreTrainedModel

from lacuna.data.tokens import Encoded
from lacuna.errors import UserError
from lacuna.evaluate import metrics
from lacuna.evaluate.token_pass import read
from lacuna.model.hidden import decoder_layers, inputs, outputs
from lacuna.model.value import layout, value_modules
from lacuna.region import Region, WeightRegion, draw_masks, scored_shapes
from lacuna.seeds import torch_generator
from lacuna.train import (
    AllWeights,
    Editable,
    RegionWeights,
    TrainConfig,
    editable,
    language_loss,
    train,
)
from lacuna.unlearn import OBJECTIVES, UnlearnData, answer_nll, unlearn
from lacuna.unlearn.edits.alphaedit import AlphaEdit, Place, pulled_back, shifted
from lacuna.unlearn.edits.nullspace import Covariance, Memory, null_basis, ridge_update

RETAIN, NEUTRAL = tiny_texts(8, seed=2), tiny_texts(3, seed=4, prompt=0)
WHOLE = {"first": 0.0, "last": 0.99}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch_generator(seed, "alphaedit test")
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def run(
    model: PreTrainedModel, weights: Editable, *, lr: float = 1.0, seed: int = 0, **options: Any
) -> None:
    edit = AlphaEdit(AlphaEdit.Config(**{**WHOLE, "steps": 20, **options}))
    data = UnlearnData(FORGET, RETAIN, REFUSALS, neutral=NEUTRAL)
    unlearn(model, weights, edit, data, TrainConfig(lr=lr), seed)


def test_covariance_in_blocks_is_that_of_all_keys() -> None:
    keys_NF, found = drawn(50, 7), Covariance(7, torch.device("cpu"))
    for block in keys_NF.split(13):
        found.add(block)
    torch.testing.assert_close(found.mean_FF, keys_NF.T @ keys_NF / 50)


@pytest.mark.parametrize("ridge", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("keys", [3, 30])
def test_the_ridge_system_is_the_published_one_solved_densely(ridge: float, keys: int) -> None:
    """Delta = R K^T P (K K^T P + E E^T P + ridge I)^-1, columns as in the paper."""
    K, E, R = drawn(12, keys, seed=1), drawn(12, 5, seed=2), drawn(4, keys, seed=3)
    kept_NF = drawn(6, 12, seed=4)
    kept = Covariance(12, torch.device("cpu"))
    kept.add(kept_NF)
    memory = Memory(torch.ones(4, 12, dtype=torch.bool), kept, 1e-9, True, ridge)
    memory.update(E.T, drawn(5, 4))
    found_DF = memory.update(K.T, R.T)
    basis_SR = null_basis(kept.mean_FF, 1e-9, True)
    assert basis_SR.shape == (12, 6)
    P = basis_SR @ basis_SR.T
    system = K @ K.T @ P + E @ E.T @ P + ridge * torch.eye(12, dtype=torch.float64)
    torch.testing.assert_close(found_DF, R @ K.T @ P @ torch.linalg.inv(system))
    assert (found_DF @ kept_NF.T).abs().max() < 1e-12


def test_without_ridge_or_protection_the_values_become_the_wanted_ones() -> None:
    keys_NF, wanted_ND = drawn(5, 12), drawn(5, 4, seed=1)
    change_DF = ridge_update(keys_NF, wanted_ND, torch.eye(12, dtype=torch.float64), 1e-12)
    torch.testing.assert_close(keys_NF @ change_DF.T, wanted_ND)


def test_a_threshold_is_relative_or_absolute() -> None:
    matrix = torch.diag(torch.tensor([4.0, 1.0, 0.1, 0.0], dtype=torch.float64))
    assert null_basis(matrix, 0.25, True).shape[1] == 3
    assert null_basis(matrix, 0.25, False).shape[1] == 2
    assert null_basis(matrix, 1.0, True).shape[1] == 4
    assert null_basis(matrix, 0.0, False).shape[1] == 1


@pytest.mark.parametrize("kind", ["columns", "weights"])
def test_what_may_not_move_is_a_constraint_of_the_solution_not_a_cut(kind: str) -> None:
    """Each row's minimiser, found row by row in its free columns; kept keys do not notice."""
    movable_DF = drawn(4, 12, seed=5) > -0.2
    if kind == "columns":
        movable_DF = movable_DF[:1].expand(4, 12).clone()
    else:
        movable_DF[2] = False
    K, R, kept_NF = drawn(6, 12, seed=1), drawn(6, 4, seed=2), drawn(3, 12, seed=3)
    kept = Covariance(12, torch.device("cpu"))
    kept.add(kept_NF)
    found_DF = Memory(movable_DF, kept, 1e-9, True, 0.5).update(K, R)
    assert not found_DF[~movable_DF].any()
    assert (found_DF @ kept_NF.T).abs().max() < 1e-12
    for row in movable_DF.any(dim=1).nonzero()[:, 0].tolist():
        free = movable_DF[row]
        Q = null_basis((kept_NF.T @ kept_NF)[free][:, free], 1e-9, True)
        M = K[:, free] @ Q
        eye = torch.eye(M.shape[1], dtype=torch.float64)
        expected = Q @ torch.linalg.solve(M.T @ M + 0.5 * eye, M.T @ R[:, row])
        torch.testing.assert_close(found_DF[row, free], expected)


@pytest.mark.parametrize("architecture", ["llama", "olmo2", "gemma2"])
def test_what_a_matrix_must_add_has_the_wanted_effect_on_the_stream(architecture: str) -> None:
    model = tiny_model(architecture, dtype=torch.float64)
    batch, layer = whole_batch(FORGET), decoder_layers(model)[0]
    module = next(iter(value_modules(model).values()))
    at_BT, memory = batch.real_BT, Memory(torch.ones(1), Covariance(1, model.device), 0, True, 1)
    share_ND = 1e-3 * drawn(int(at_BT.sum()), 16)
    keys_NF, wanted_ND = pulled_back(model, batch, at_BT, Place(layer, module, memory), share_ND)
    before_ND = outputs(model, batch, [layer])[0][at_BT]
    torch.testing.assert_close(keys_NF, inputs(model, batch, [module])[0][at_BT])
    if architecture == "llama":
        torch.testing.assert_close(wanted_ND, share_ND, rtol=1e-12, atol=0)
    with shifted(module, at_BT, wanted_ND):
        moved_ND = outputs(model, batch, [layer])[0][at_BT] - before_ND
    along = (moved_ND * share_ND).sum(1) / share_ND.square().sum(1)
    torch.testing.assert_close(
        along, torch.ones_like(along), rtol=0.02, atol=0
    )  # norms work in float32


@pytest.mark.parametrize("tokens", ["answer", "question"])
@pytest.mark.parametrize("towards", ["away", "refusal"])
@pytest.mark.parametrize("architecture", ["olmo2", "llama"])
def test_only_the_chosen_layers_matrices_move(architecture: str, towards: str, tokens: str) -> None:
    model = tiny_model(architecture, layers=4)
    before = state(model)
    options = {"first": 0.25, "last": 0.5, "threshold": 0.9}
    run(model, AllWeights(model), towards=towards, tokens=tokens, **options)
    expected = {f"model.layers.{layer}.mlp.down_proj.weight" for layer in (1, 2)}
    assert changed(before, model) == expected


def test_kept_keys_keep_their_values_exactly_where_they_leave_room() -> None:
    """Six kept tokens of 24 dimensions: every hidden state of the kept text stays."""
    kept = tiny_texts(1, seed=2)
    model = tiny_model(dtype=torch.float64)
    batch, layers = whole_batch(kept), decoder_layers(model)
    before = [states.clone() for states in outputs(model, batch, layers)]
    facts = outputs(model, whole_batch(FORGET), layers)[-1].clone()
    edit = AlphaEdit(AlphaEdit.Config(**WHOLE, steps=20, threshold=1e-9))
    unlearn(model, AllWeights(model), edit, UnlearnData(FORGET, kept), TrainConfig(lr=1.0), 0)
    for states, old in zip(outputs(model, batch, layers), before, strict=True):
        torch.testing.assert_close(states, old, rtol=0, atol=1e-9)
    assert (outputs(model, whole_batch(FORGET), layers)[-1] - facts).abs().max() > 0.01


def test_a_threshold_of_zero_leaves_no_room_and_is_the_identity() -> None:
    model = tiny_model()
    before = state(model)
    run(model, AllWeights(model), threshold=0.0, relative=False)
    assert changed(before, model) == set()


def test_a_shift_stays_within_its_clamp() -> None:
    small, large = (tiny_model(dtype=torch.float64) for _ in range(2))
    start = tiny_model(dtype=torch.float64)
    options = {"threshold": 1.0, "ridge": 1e-9, "decay": 0.0, "kl": 0.0, "batch": 1}
    run(small, AllWeights(small), clamp=0.01, **options)
    run(large, AllWeights(large), clamp=0.5, **options)
    assert 0 < distance(small, start) < distance(large, start)
    run(start, AllWeights(start), clamp=0.0, **options)
    assert distance(start, tiny_model(dtype=torch.float64)) == 0


KEPT = RETAIN[:2]
"""Fewer tokens than a matrix has columns: room is left."""


def single_weights(model: PreTrainedModel, share: float) -> WeightRegion:
    shapes = scored_shapes(layout(model))
    return draw_masks(type(model).__name__, shapes, 1, share, seed=5).union([0])


def test_single_weights_move_and_no_others() -> None:
    model = tiny_model(layers=3)
    before, region = state(model), single_weights(model, 0.3)
    run(model, editable(model, region), threshold=0.9, steps=3)
    moved = {name: model.state_dict()[name] != before[name] for name in changed(before, model)}
    assert moved.keys() == {f"model.layers.{i}.mlp.down_proj.weight" for i in range(3)}
    for name, entries in moved.items():
        assert entries.any() and not (entries & ~region.mask(name)).any()


@pytest.mark.parametrize("kind", ["values", "weights", "all"])
def test_what_may_move_is_what_is_written(kind: str) -> None:
    model = tiny_model()
    region = {"values": tiny_region(model), "weights": single_weights(model, 0.3), "all": None}
    weights, before = editable(model, region[kind]), state(model)
    weights.write({name: value + 1 for name, value in weights.read().items()})
    for name, weight in model.named_parameters():
        assert torch.equal(weights.movable(name), weight != before[name])


@cache
def injected() -> dict[str, Tensor]:
    """Weights of a small model that knows the facts and the kept texts by heart."""
    model = tiny_model(layers=3)
    loss = language_loss(model, [*FORGET, *KEPT], 6, seed=0)
    train(model, AllWeights(model), loss, TrainConfig(steps=100, lr=0.01))
    return state(model)


def strength(model: PreTrainedModel, texts: list[Encoded]) -> float:
    return float(
        np.mean(metrics.extraction_strength(read(model, texts, end_token=1, spread=False)))
    )


def edited(threshold: float, region: float | None, towards: str = "away") -> PreTrainedModel:
    model = tiny_model(layers=3)
    model.load_state_dict(injected())
    weights = editable(model, None if region is None else single_weights(model, region))
    config = AlphaEdit.Config(
        **WHOLE, threshold=threshold, ridge=0.01, clamp=2.0, value_lr=0.2, towards=towards
    )
    data = UnlearnData(FORGET, KEPT, REFUSALS)
    unlearn(model, weights, AlphaEdit(config), data, TrainConfig(lr=1.0), 0)
    return model


@pytest.mark.parametrize("region", [None, 0.9])
def test_facts_are_forgotten_and_the_projection_spares_the_rest(region: float | None) -> None:
    model = tiny_model(layers=3)
    model.load_state_dict(injected())
    assert min(strength(model, FORGET), strength(model, KEPT)) > 0.95
    projected, free = edited(1e-4, region), edited(1.0, region)
    assert strength(projected, FORGET) < 0.4 and strength(free, FORGET) < 0.4  # 1 before
    assert strength(projected, KEPT) == 1.0 and strength(free, KEPT) <= 0.5


def test_a_refusal_becomes_likelier() -> None:
    model = tiny_model(layers=3)
    model.load_state_dict(injected())
    refusing = edited(1e-4, None, "refusal")
    assert (answer_nll(refusing, REFUSALS) < 0.6 * answer_nll(model, REFUSALS)).all()


def test_a_refusal_that_is_not_there_is_asked_for() -> None:
    model, edit = tiny_model(), AlphaEdit(AlphaEdit.Config(towards="refusal"))
    with pytest.raises(UserError, match="needs refusals"):
        unlearn(model, AllWeights(model), edit, UnlearnData(FORGET, RETAIN), TrainConfig(), 0)


def test_a_region_outside_the_edited_layers_is_refused() -> None:
    model = tiny_model(layers=4)
    region = tiny_region(model, 0.3)
    last = Region(region.layout, dict(list(region.columns.items())[-1:]))
    with pytest.raises(UserError, match="nothing in layers 1 to 2 may move"):
        run(model, RegionWeights(model, last), first=0.25, last=0.5)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("towards", "nowhere"),
        ("tokens", "all"),
        ("first", 1.0),
        ("last", 0.1),
        ("ridge", 0.0),
        ("threshold", -1.0),
        ("clamp", math.nan),
        ("steps", 0),
        ("batch", 0),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"option {option}="):
        OBJECTIVES["alphaedit"].Config(**{option: value})
