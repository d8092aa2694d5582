"""MemFlex on LoRA tensors: which are trained, what is merged, where it is refused."""

from typing import Any

import pytest
import torch
from support.tiny import changed, distance, state, tiny_model, tiny_region, whole_batch
from support.unlearning import FORGET, RETAIN
from torch.nn import functional as F
from transformers import PreTrainedModel

from lacuna.errors import UserError
from lacuna.model import answers
from lacuna.train import AllWeights, Diverged, RegionWeights, TrainConfig, language_loss, train
from lacuna.unlearn import UnlearnData, answer_nll, unlearn
from lacuna.unlearn.objectives.memflex_lora import MemFlexLora
from lacuna.unlearn.wrappers import WRAPPERS
from sweeps.config.compose import configure
from sweeps.plan.make import make_planner

DATA = UnlearnData(FORGET, RETAIN)
EASY = {"grad": 0.0, "sim": 1.0}


def run(model: PreTrainedModel, *, seed: int = 0, lr: float = 0.01, **options: Any) -> list[float]:
    steps = options.pop("steps", 4)
    wrappers = options.pop("wrappers", ())
    objective = MemFlexLora(MemFlexLora.Config(**{**EASY, **options}))
    config = TrainConfig(steps=steps, lr=lr, schedule="constant", batch_size=4)
    weights = AllWeights(model)
    return unlearn(model, weights, objective, DATA, config, seed, wrappers=wrappers).losses


@pytest.mark.parametrize("architecture", ["olmo2", "gpt_neox"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_linear_layers_move_and_the_model_has_its_own_modules_again(
    architecture: str, dtype: torch.dtype
) -> None:
    model = tiny_model(architecture, dtype=dtype)
    before, modules = state(model), list(model.modules())
    run(model, lr=0.05)
    moved = changed(before, model)
    assert moved and all(".layers." in n and n.endswith(".weight") for n in moved)
    assert not any("norm" in n or "embed" in n or "lm_head" in n for n in moved)
    assert all(a is b for a, b in zip(modules, model.modules(), strict=True))
    assert not any(weight.requires_grad for weight in model.parameters())


def test_the_merged_change_has_the_adapters_rank() -> None:
    model = tiny_model(dtype=torch.float64)
    before = state(model)
    run(model, rank=2)
    for name in changed(before, model):
        change = model.state_dict()[name] - before[name]
        assert torch.linalg.matrix_rank(change, rtol=1e-4) <= 2


def test_no_steps_are_the_identity_and_seeds_repeat() -> None:
    model = tiny_model()
    before = state(model)
    assert run(model, steps=0) == []
    assert changed(before, model) == set()
    first, again, other = (tiny_model() for _ in range(3))
    run(first, seed=1), run(again, seed=1), run(other, seed=2)
    assert distance(first, again) == 0 < distance(first, other)


def test_facts_become_less_likely_and_kept_texts_do_not() -> None:
    model = tiny_model()
    config = TrainConfig(steps=60, lr=0.01)
    train(model, AllWeights(model), language_loss(model, [*FORGET, *RETAIN], 10, 0), config)
    forget, retain = (float(answer_nll(model, texts).mean()) for texts in (FORGET, RETAIN))
    run(model, steps=25, lr=0.005)
    assert float(answer_nll(model, FORGET).mean()) > 5 * forget
    assert float(answer_nll(model, RETAIN).mean()) < 2 * retain + 0.1


def test_the_loss_is_weighted_ascent_plus_weighted_descent() -> None:
    model = tiny_model(dtype=torch.float64)
    said = [answers(model, whole_batch([text])).nll_N.mean() for text in FORGET]
    (loss,) = run(model, steps=1, retain_weight=0.0, forget_weight=0.4)
    assert loss == pytest.approx(-0.4 * float(torch.stack(said).mean()), rel=1e-5)


def test_tensors_are_chosen_by_both_thresholds() -> None:
    """B tensors of a fresh adapter by hand: a gradient of W is that of B times A."""
    model, found = tiny_model(dtype=torch.float64), {}
    objective = MemFlexLora(MemFlexLora.Config(**EASY))
    with objective.trained(model, AllWeights(model), DATA, 0) as weights:
        assert all("lora_B" in name for name in weights.masters)
        found["all"] = set(weights.masters)
    narrow = MemFlexLora(MemFlexLora.Config(sim=0.0, grad=0.0))
    with narrow.trained(model, AllWeights(model), DATA, 0) as weights:
        found["dissimilar"] = set(weights.masters)
    assert found["dissimilar"] < found["all"] and len(found["all"]) == 14


def test_thresholds_that_nothing_passes_are_named_with_the_largest_gradient() -> None:
    model = tiny_model()
    before, modules = state(model), list(model.modules())
    with pytest.raises(UserError, match=r"none of 28 LoRA tensors .*the largest is 0\.\d+"):
        run(model, grad=1e9)
    assert changed(before, model) == set()
    assert all(a is b for a, b in zip(modules, model.modules(), strict=True))


def test_a_divergence_leaves_the_model_as_it_was() -> None:
    model = tiny_model()
    before = state(model)
    with pytest.raises(Diverged):
        run(model, lr=1e30, steps=5)
    assert changed(before, model) == set()


def test_kl_compares_with_the_model_before_the_adapter() -> None:
    model = tiny_model()
    losses = run(model, retain="kl", forget_weight=0.0, steps=2)
    assert losses[0] == pytest.approx(0, abs=1e-6)


def test_wrappers_work_on_the_adapter() -> None:
    plain, wrapped = tiny_model(), tiny_model()
    run(plain), run(wrapped, wrappers=[WRAPPERS["sam"](WRAPPERS["sam"].Config(rho=0.5))])
    assert distance(plain, wrapped) > 0


def test_a_region_is_refused_and_the_grid_has_the_full_scenario_only() -> None:
    model = tiny_model()
    weights = RegionWeights(model, tiny_region(model))
    objective = MemFlexLora(MemFlexLora.Config(**EASY))
    with pytest.raises(UserError, match="cannot be confined to a region"):
        unlearn(model, weights, objective, DATA, TrainConfig(), 0)
    study = ["study=smoke", "objectives=[npo,memflex_lora]", "unlearn.lr=1e-3"]
    cells = make_planner(configure(study)).cells()
    assert [c.scenario for c in cells if c.objective == "memflex_lora"] == ["full"]
    assert len(cells) == 5
    with pytest.raises(UserError, match="add the scenario full"):
        make_planner(configure([*study, "scenarios=[oracle,random]"]))


def test_gradients_are_those_of_random_labels_in_the_adapter() -> None:
    model = tiny_model(dtype=torch.float64)
    objective = MemFlexLora(MemFlexLora.Config(**EASY, repeats=1))
    generator = torch.Generator().manual_seed(3)
    with objective.trained(model, AllWeights(model), DATA, 0) as weights:
        tensors = {name: p.requires_grad_(True) for name, p in weights.masters.items()}
        found = objective._gradients(model, tensors, FORGET, generator)
        drawn = torch.randint(
            40, whole_batch(FORGET).labels_BT.shape, generator=torch.Generator().manual_seed(3)
        )
        batch = whole_batch(sorted(FORGET, key=lambda text: -len(text.ids)))
        labels = torch.where(batch.labels_BT == -100, batch.labels_BT, drawn)
        logits = model(input_ids=batch.ids_BT).logits[:, :-1]
        F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten()).backward()
        for name, tensor in tensors.items():
            assert tensor.grad is not None
            torch.testing.assert_close(found[name], tensor.grad.flatten(), rtol=1e-4, atol=1e-7)
            tensor.requires_grad_(False)
