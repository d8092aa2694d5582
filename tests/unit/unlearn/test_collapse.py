"""Collapse of common directions: what is left of a gradient."""

import pytest
import torch
from support.tiny import AllWeights, RegionWeights, changed, state, tiny_model, tiny_region
from support.unlearning import DATA, FORGET, objective
from torch import Tensor

from lacuna.errors import UserError
from lacuna.region import WeightRegion
from lacuna.region.bits import pack
from lacuna.train import Editable, TrainConfig, editable
from lacuna.train.kfac import mean_gradients
from lacuna.unlearn import WRAPPERS, unlearn
from lacuna.unlearn.wrappers.base import Start
from lacuna.unlearn.wrappers.collapse import Collapse, common


def ready(weights: Editable, model: object, **shares: float) -> Collapse:
    made = WRAPPERS["collapse"](WRAPPERS["collapse"].Config(**shares))
    made.data(Start(model, weights, DATA, 0, TrainConfig(steps=3, batch_size=2)))  # type: ignore[arg-type]
    assert isinstance(made, Collapse)
    return made


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_directions_are_the_mean_and_the_principal_ones_beside_it() -> None:
    """Rows 5 e_0 +- 3 e_1 +- 0.1 e_2: the mean is e_0, the first principal direction e_1."""
    rows = torch.tensor([[5.0, s * 3, t * 0.1, 0] for s in (1, -1) for t in (1, -1)]).double()
    found = common(rows.sum(0), rows.T @ rows, 0.5)
    assert found.shape == (4, 2)
    torch.testing.assert_close(found @ found.T, torch.diag(torch.tensor([1.0, 1, 0, 0]).double()))
    assert common(rows.sum(0), rows.T @ rows, 0.01).shape == (4, 1)
    assert common(rows.sum(0), rows.T @ rows, 0.0).shape == (4, 0)


@pytest.mark.parametrize("kind", ["region", "all"])
def test_nothing_is_left_along_what_all_texts_have_in_common(kind: str) -> None:
    model = tiny_model(dtype=torch.float64)
    weights = AllWeights(model) if kind == "all" else RegionWeights(model, tiny_region(model))
    wrapper = ready(weights, model, inputs=0.01, outputs=0.01)
    gradients = {name: drawn(*master.shape) for name, master in weights.masters.items()}
    left = wrapper.gradient(lambda _: dict(gradients), None)(weights)  # type: ignore[arg-type]
    assert {len(d.T) for pair in wrapper.directions.values() for d in pair} == {1}
    for name, (into, out) in wrapper.directions.items():
        assert (left[name] @ into).abs().max() < 1e-6 < 0.1 < (gradients[name] @ into).abs().max()
        assert (out.T @ left[name]).abs().max() < 1e-6
        kept = drawn(*gradients[name].shape)
        kept -= (kept @ into) @ into.T
        kept -= out @ (out.T @ kept)
        torch.testing.assert_close(wrapper._without(name, kept), kept)
    assert all(left[n] is gradients[n] for n in gradients.keys() - wrapper.directions.keys())


def test_the_first_direction_is_the_mean_of_what_goes_in() -> None:
    model = tiny_model(dtype=torch.float64)
    wrapper = ready(AllWeights(model), model, inputs=0.01, outputs=0.0)
    total = torch.zeros(24, dtype=torch.float64)

    def keep(_: object, args: tuple[Tensor, ...], out: Tensor) -> None:
        total.add_(args[0][0][:-1].sum(dim=0))

    handle = model.get_submodule("model.layers.1.mlp.down_proj").register_forward_hook(keep)
    for text in FORGET:
        model(input_ids=torch.tensor([text.ids]))
    handle.remove()
    into, out = wrapper.directions["model.layers.1.mlp.down_proj.weight"]
    torch.testing.assert_close(into[:, 0] * (into[:, 0] @ total), total, atol=1e-6, rtol=1e-6)
    assert out.shape[1] == 0


def test_directions_are_measured_anew_after_every_epoch_and_gradients_stay() -> None:
    model = tiny_model()
    wrapper, seen = ready(AllWeights(model), model), []
    plain = wrapper._measure
    wrapper._measure = lambda weights: (seen.append(1), plain(weights))  # type: ignore[method-assign, func-returns-value]
    wrapper.data = lambda start: start.data  # type: ignore[method-assign]
    config = TrainConfig(steps=5, batch_size=2, lr=0.01)
    unlearn(model, AllWeights(model), objective("npo"), DATA, config, 0, wrappers=[wrapper])
    assert len(seen) == 2  # two batches an epoch: after steps 2 and 4
    assert mean_gradients(model, wrapper.modules, FORGET).keys() == wrapper.directions.keys()


def test_with_everything_taken_out_nothing_moves() -> None:
    model = tiny_model()
    before = state(model)
    whole = WRAPPERS["collapse"](WRAPPERS["collapse"].Config(inputs=1.0, outputs=1.0))
    weights, config = RegionWeights(model, tiny_region(model)), TrainConfig(steps=2, batch_size=4)
    unlearn(model, weights, objective("ga"), DATA, config.at(0.01), 0, wrappers=[whole])
    assert changed(before, model) == set()


def test_single_weights_are_refused() -> None:
    model = tiny_model()
    shapes = {"model.layers.0.mlp.down_proj.weight": (16, 24)}
    bits = {name: pack(torch.arange(16 * 24) % 3 == 0) for name in shapes}
    single = editable(model, WeightRegion(type(model).__name__, shapes, bits))
    with pytest.raises(UserError, match="needs whole value vectors"):
        ready(single, model)
