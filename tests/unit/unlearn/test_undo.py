"""UNDO: the noise, and what distillation brings back."""

import math

import torch
from support.tiny import AllWeights, RegionWeights, state, tiny_model, tiny_region, whole_batch
from support.unlearning import DATA, RETAIN, objective
from transformers import PreTrainedModel

from lacuna.data.tokens import Encoded
from lacuna.model import answers
from lacuna.train import TrainConfig, mean_kl
from lacuna.unlearn import WRAPPERS, unlearn


def run(model: PreTrainedModel, region: bool = True, steps: int = 2, **options: float) -> None:
    weights = RegionWeights(model, tiny_region(model)) if region else AllWeights(model)
    wrapper = WRAPPERS["undo"](WRAPPERS["undo"].Config(**options))
    config = TrainConfig(steps=steps, lr=0.01, batch_size=6)
    unlearn(model, weights, objective("npo"), DATA, config, 0, wrappers=[wrapper])


def test_all_noise_and_no_repair_is_noise_of_its_scale_in_matrices_alone() -> None:
    model = tiny_model(dtype=torch.float64)
    before = state(model)
    run(model, region=False, steps=0, noise=1.0, scale=0.5)
    for name, value in model.state_dict().items():
        if value.dim() < 2:
            assert torch.equal(value, before[name])
            continue
        bound = 0.5 * math.sqrt(6 / sum(value.shape))
        assert value.abs().max() <= bound and value.abs().max() > 0.9 * bound
        assert abs(float(value.mean())) < bound / 5


def test_half_the_noise_is_half_way_to_it() -> None:
    model, region = tiny_model(dtype=torch.float64), tiny_region(tiny_model())
    weights = RegionWeights(model, region)
    before = weights.read()
    found = []
    for noise in (0.5, 1.0):
        again = tiny_model(dtype=torch.float64)
        run(again, steps=0, noise=noise)
        found.append(RegionWeights(again, region).read())
    for name, value in before.items():
        torch.testing.assert_close(found[0][name], (value + found[1][name]) / 2)


def test_distillation_brings_back_what_the_unlearned_model_says() -> None:
    plain = tiny_model()
    run(plain, steps=20, noise=0.0)
    batch = whole_batch([Encoded(text.ids, text.ids) for text in RETAIN])
    apart = []
    for steps in (0.0, 4.0):
        model = tiny_model()
        wrapper = WRAPPERS["undo"](WRAPPERS["undo"].Config(noise=0.9, steps=steps))
        config = TrainConfig(steps=20, lr=0.01, batch_size=6)
        weights = RegionWeights(model, tiny_region(model))
        unlearn(model, weights, objective("npo"), DATA, config, 0, wrappers=[wrapper])
        said = [answers(m, batch).logits_NV for m in (model, plain)]
        apart.append(float(mean_kl(*said)))
    assert apart[1] < 0.5 * apart[0]
