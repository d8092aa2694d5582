"""G-effect: inner products by hand, and that looking changes nothing."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from support.tiny import AllWeights, changed, state, tiny_model, tiny_region, whole_batch
from support.unlearning import DATA, FORGET, RETAIN, objective
from torch import Tensor

from lacuna.model import answers
from lacuna.train import TrainConfig, mean_nll
from lacuna.unlearn import WRAPPERS, unlearn


def logged(
    base: str, region: str | None = None, steps: int = 1, every: int = 1, **options: float
) -> list:
    model, seen = tiny_model(dtype=torch.float64), list[Mapping[str, float]]()
    wrapper = WRAPPERS["effect"](WRAPPERS["effect"].Config(every=every, region=region))
    config = TrainConfig(steps=steps, batch_size=4, lr=0.01)
    unlearn(
        model,
        AllWeights(model),
        objective(base, **options),
        DATA,
        config,
        0,
        wrappers=[wrapper],
        on_step=lambda _, numbers: seen.append(dict(numbers)),
    )
    return seen


def slope(texts: list) -> dict[str, Tensor]:
    model = tiny_model(dtype=torch.float64)
    weights = dict(model.named_parameters())
    for weight in weights.values():
        weight.requires_grad_(True)
    loss = mean_nll(answers(model, whole_batch(texts)))
    found = torch.autograd.grad(loss, list(weights.values()))
    return dict(zip(weights, found, strict=True))


def test_ascent_on_everything_pushes_against_its_own_gradient() -> None:
    (seen,) = logged("ga")
    forget, retain = slope(FORGET), slope(RETAIN)
    length = sum(float(g.square().sum()) for g in forget.values())
    both = sum(float((forget[n] * retain[n]).sum()) for n in forget)
    assert seen["effect/forget"] == pytest.approx(-length, rel=1e-6)
    assert seen["effect/retain"] == pytest.approx(-both, rel=1e-6)


def test_inside_and_outside_add_up(tmp_path: Path) -> None:
    region, path = tiny_region(tiny_model()), tmp_path / "oracle.safetensors"
    region.save(path)
    (seen,) = logged("ga", region=str(path))
    forget, inside = slope(FORGET), 0.0
    for name, columns in region.columns.items():
        inside -= float(forget[f"{name}.weight"][:, columns].square().sum())
    assert seen["effect/forget_inside"] == pytest.approx(inside, rel=1e-6)
    for split in ("forget", "retain"):
        parts = [seen[f"effect/{split}_{side}"] for side in ("inside", "outside")]
        assert sum(parts) == pytest.approx(seen[f"effect/{split}"])


def test_it_is_measured_every_so_often_and_changes_no_bit() -> None:
    seen = logged("npo", steps=5, every=2)
    assert ["effect/forget" in one for one in seen] == [True, False, True, False, True]
    found = []
    for names in ([], ["effect"]):
        model = tiny_model()
        around = [WRAPPERS[name](WRAPPERS[name].Config(every=1)) for name in names]
        config = TrainConfig(steps=3, batch_size=2, lr=0.01)
        unlearn(model, AllWeights(model), objective("npo"), DATA, config, 0, wrappers=around)
        found.append(model)
    assert changed(state(found[0]), found[1]) == set()
