"""STAMP-style redirection: least squares by hand, and what it says of a layer."""

import math
from typing import Any

import pytest
import torch
from support.tiny import changed_columns, state, tiny_model, tiny_region
from support.unlearning import DATA, FORGET, REFUSALS, RETAIN
from torch import Tensor
from transformers import PreTrainedModel

from lacuna.data.tokens import IGNORE
from lacuna.errors import UserError
from lacuna.train import AllWeights, Editable, RegionWeights, TrainConfig
from lacuna.unlearn import OBJECTIVES, UnlearnData, unlearn
from lacuna.unlearn.edits.stamp import redirection


def run(
    model: PreTrainedModel, weights: Editable, data: UnlearnData = DATA, **options: Any
) -> None:
    edit = OBJECTIVES["stamp"](OBJECTIVES["stamp"].Config(**options))
    unlearn(model, weights, edit, data, TrainConfig(lr=1.0), 0)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_square_keys_are_sent_exactly_where_they_should_go() -> None:
    keys, missing = drawn(4, 4), drawn(4, 3, seed=1)
    change = redirection(keys, missing, torch.ones(3, 4, dtype=torch.bool), 0)
    torch.testing.assert_close(keys @ change.T, missing, rtol=1e-6, atol=1e-9)
    full = redirection(keys, missing, torch.ones(3, 4, dtype=torch.bool), 4)
    assert torch.equal(full, change)
    low = redirection(keys, missing, torch.ones(3, 4, dtype=torch.bool), 1)
    assert low.norm() < change.norm() and torch.linalg.matrix_rank(low) == 1


def test_every_row_moves_in_its_own_columns_by_least_squares() -> None:
    keys, missing = drawn(9, 4), drawn(9, 3, seed=1)
    movable = torch.tensor([[1, 1, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    change = redirection(keys, missing, movable, 0)
    assert (change[~movable] == 0).all()
    for row in (0, 1):
        expected = torch.linalg.lstsq(keys[:, movable[row]], missing[:, row]).solution
        torch.testing.assert_close(change[row, movable[row]], expected)


def said(model: PreTrainedModel, layer: int, texts: list) -> Tensor:
    """(N, D) outputs of a layer's MLP matrix where answer tokens are predicted."""
    kept: list[Tensor] = []
    module = model.get_submodule(f"model.layers.{layer}.mlp.down_proj")
    handle = module.register_forward_hook(lambda _, args, out: kept.append(out[0]))
    rows = []
    for text in texts:
        model(input_ids=torch.tensor([text.ids]))
        asked = [t - 1 for t, label in enumerate(text.labels) if label != IGNORE and t]
        rows.append(kept[-1][asked])
    handle.remove()
    return torch.cat(rows)


def test_the_layer_answers_as_it_does_to_refusals() -> None:
    """Three keys of 24 inputs: an exact solution, though the refusal's own tokens move as well."""
    model = tiny_model(dtype=torch.float64, layers=3)
    before, wanted = state(model), said(model, 1, REFUSALS).mean(dim=0)
    data = UnlearnData(FORGET[:1], RETAIN, REFUSALS)
    run(model, AllWeights(model), data, depth=0.5)
    assert changed_columns(before, model).keys() == {"model.layers.1.mlp.down_proj"}
    found = said(model, 1, FORGET[:1])
    torch.testing.assert_close(found, wanted.expand_as(found), rtol=1e-6, atol=1e-8)


def test_a_region_without_the_layer_and_options_out_of_range_are_refused() -> None:
    model = tiny_model()
    region = tiny_region(model)
    first = list(region.columns)[0]
    upper = type(region)(region.layout, {n: c for n, c in region.columns.items() if n != first})
    with pytest.raises(UserError, match="no value vector in layer 0: change"):
        run(model, RegionWeights(model, upper))
    for option, value in (("depth", 1.0), ("depth", math.nan), ("rank", -1)):
        with pytest.raises(UserError, match=f"option {option}={value}: must be"):
            OBJECTIVES["stamp"].Config(**{option: value})
