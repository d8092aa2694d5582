"""Edits: what they write by hand or by plain autograd, and what every edit must keep to."""

import math
from typing import Any

import pytest
import torch
from support.tiny import (
    both_kinds,
    changed,
    changed_columns,
    distance,
    state,
    tiny_model,
    tiny_region,
    whole_batch,
)
from support.unlearning import FORGET, REFUSALS, RETAIN
from torch import Tensor
from transformers import PreTrainedModel

from lacuna.data.tokens import Encoded
from lacuna.errors import UserError
from lacuna.model import answers
from lacuna.train import Diverged, Editable, RegionWeights, TrainConfig, Values, editable, mix
from lacuna.unlearn import OBJECTIVES, Edit, UnlearnData, answer_nll, unlearn
from lacuna.unlearn.edits.base import EditInputs

EDITS = [name for name, method in OBJECTIVES.items() if issubclass(method, Edit)]
OPTIONS: dict[str, dict[str, Any]] = {
    "alphaedit": {"first": 0.0, "threshold": 0.9, "steps": 5},
    "ssd": {"alpha": 1.0},
    "task_vector": {"reinforce_lr": 0.01},
}
"""Options under which each edit does something to a tiny model."""
every_edit = pytest.mark.parametrize("name", EDITS)


def run(
    name: str,
    model: PreTrainedModel,
    weights: Editable,
    *,
    lr: float = 1.0,
    seed: int = 0,
    retained: PreTrainedModel | None = None,
    **options: Any,
) -> None:
    edit = OBJECTIVES[name](OBJECTIVES[name].Config(**{**OPTIONS.get(name, {}), **options}))
    config = TrainConfig(steps=3, lr=lr, batch_size=2, schedule="constant")
    dtype = next(model.parameters()).dtype
    retained = retained or tiny_model(seed=9, dtype=dtype)
    data = UnlearnData(FORGET, RETAIN, REFUSALS)
    assert unlearn(model, weights, edit, data, config, seed, retained=retained).losses == []


def test_the_edits_are_registered_as_objectives() -> None:
    assert [
        *("alphaedit", "influence", "kfade", "restore", "ssd", "stamp", "task_vector"),
    ] == EDITS


@every_edit
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_edit_moves_its_region_only(name: str, dtype: torch.dtype) -> None:
    model = tiny_model(dtype=dtype)
    before, region = state(model), tiny_region(model)
    run(name, model, RegionWeights(model, region))
    moved = changed_columns(before, model)
    assert moved.keys() == set(list(region.columns)[: 1 if name == "stamp" else None])
    assert all(found <= set(region.columns[module].tolist()) for module, found in moved.items())
    assert name in ("ssd", "alphaedit", "stamp") or sum(map(len, moved.values())) == len(region)


@every_edit
@pytest.mark.parametrize("kind", ["region", "all"])
def test_the_learning_rate_is_the_strength(name: str, kind: str) -> None:
    def edited(lr: float) -> Values:
        model = tiny_model(dtype=torch.float64)
        weights = both_kinds(model)[kind]
        run(name, model, weights, lr=lr, retained=tiny_model(seed=9, dtype=torch.float64))
        return weights.read()

    start, half, whole, double = (edited(lr) for lr in (0.0, 0.5, 1.0, 2.0))
    original = both_kinds(tiny_model(dtype=torch.float64))[kind].read()
    for key, value in original.items():
        assert torch.equal(start[key], value)
        torch.testing.assert_close(half[key], (value + whole[key]) / 2)
        torch.testing.assert_close(double[key], 2 * whole[key] - value)
    assert any(not torch.equal(original[key], whole[key]) for key in original)


@every_edit
def test_an_edit_repeats_itself(name: str) -> None:
    models = [tiny_model() for _ in range(2)]
    for model in models:
        run(name, model, RegionWeights(model, tiny_region(model)), seed=3)
        assert not any(weight.requires_grad for weight in model.parameters())
    assert distance(*models) == 0


@every_edit
def test_the_mixing_curve_runs_from_the_injected_model_to_the_edit(name: str) -> None:
    model = tiny_model(dtype=torch.float64)
    weights = RegionWeights(model, tiny_region(model))
    start, before = weights.read(), state(model)
    run(name, model, weights)
    end, after = weights.read(), state(model)
    mix(weights, start, end, 0.0)
    assert changed(before, model) == set()
    mix(weights, start, end, 1.0)
    assert changed(after, model) == set()


def test_restoring_the_true_region_undoes_injection_bit_by_bit() -> None:
    retained, injected = tiny_model(dtype=torch.bfloat16), tiny_model(dtype=torch.bfloat16)
    target = tiny_region(injected)
    weights = RegionWeights(injected, target)
    weights.write({name: value + 1 for name, value in weights.read().items()})
    elsewhere = editable(injected, target.complement())
    planted = state(injected)
    run("restore", injected, elsewhere, retained=retained)
    assert changed(planted, injected) == set()
    run("restore", injected, weights, retained=retained)
    assert changed(state(retained), injected) == set()


def test_restore_without_the_retained_model_is_refused() -> None:
    model, config = tiny_model(), TrainConfig(steps=1)
    edit = OBJECTIVES["restore"](OBJECTIVES["restore"].Config())
    weights = RegionWeights(model, tiny_region(model))
    with pytest.raises(UserError, match="needs the retained model"):
        unlearn(model, weights, edit, UnlearnData(FORGET, RETAIN), config, 0)


@pytest.mark.parametrize("kind", ["region", "all"])
def test_weights_can_be_read_from_another_model(kind: str) -> None:
    model, other = tiny_model(), tiny_model(seed=1)
    found = both_kinds(model)[kind].read(other)
    expected = both_kinds(other)[kind].read()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def fisher(model: PreTrainedModel, texts: list[Encoded]) -> dict[str, Tensor]:
    """Mean squared gradient of each text's mean NLL, for every weight."""
    weights = dict(model.named_parameters())
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for weight in weights.values():
        weight.requires_grad_(True)
    for text in texts:
        loss = answers(model, whole_batch([text])).nll_N.mean()
        for name, grad in zip(
            weights, torch.autograd.grad(loss, list(weights.values())), strict=True
        ):
            total[name] += grad**2 / len(texts)
    for weight in weights.values():
        weight.requires_grad_(False)
    return total


@pytest.mark.parametrize(("alpha", "dampening"), [(1.0, 1.0), (3.0, 1.0), (0.5, 0.7), (2.0, 0.0)])
def test_dampening_is_its_formula(alpha: float, dampening: float) -> None:
    model, untouched = tiny_model(dtype=torch.float64), tiny_model(dtype=torch.float64)
    forget, retain = fisher(model, FORGET), fisher(model, RETAIN)
    run("ssd", model, editable(model, None), alpha=alpha, dampening=dampening)
    after = dict(model.named_parameters())
    selected = 0
    for name, weight in untouched.named_parameters():
        chosen = forget[name] > alpha * retain[name]
        selected += int(chosen.sum())
        beta = (dampening * retain[name] / forget[name]).clamp(max=1).where(chosen, 1.0)
        torch.testing.assert_close(after[name], beta * weight, rtol=1e-5, atol=1e-9)
    assert 0 < selected < sum(weight.numel() for weight in untouched.parameters())


def logit_slopes(model: PreTrainedModel, texts: list[Encoded]) -> dict[str, Tensor]:
    """Mean absolute gradient of each text's mean squared logit, for every weight."""
    weights = dict(model.named_parameters())
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for weight in weights.values():
        weight.requires_grad_(True)
    for text in texts:
        size = model(input_ids=torch.tensor([text.ids])).logits[0, 2:-1].square().mean()
        for name, grad in zip(
            weights, torch.autograd.grad(size, list(weights.values())), strict=True
        ):
            total[name] += grad.abs() / len(texts)
    for weight in weights.values():
        weight.requires_grad_(False)
    return total


def test_label_free_dampening_is_its_formula_and_asks_no_label() -> None:
    model, untouched = tiny_model(dtype=torch.float64), tiny_model(dtype=torch.float64)
    forget, retain = logit_slopes(model, FORGET), logit_slopes(model, RETAIN)
    run("ssd", model, editable(model, None), alpha=1.2, importance="logits")
    after = dict(model.named_parameters())
    selected = 0
    for name, weight in untouched.named_parameters():
        chosen = forget[name] > 1.2 * retain[name]
        selected += int(chosen.sum())
        beta = (retain[name] / forget[name]).clamp(max=1).where(chosen, 1.0)
        torch.testing.assert_close(after[name], beta * weight, rtol=1e-5, atol=1e-9)
    assert selected > 0
    swapped = [Encoded(t.ids, [i if i < 0 else 2 + i % 30 for i in t.labels]) for t in FORGET]
    relabelled = tiny_model(dtype=torch.float64)
    edit = OBJECTIVES["ssd"](OBJECTIVES["ssd"].Config(alpha=1.2, importance="logits"))
    data, config = UnlearnData(swapped, RETAIN), TrainConfig(steps=3, lr=1.0)
    unlearn(relabelled, editable(relabelled, None), edit, data, config, 0)
    assert distance(model, relabelled) == 0


def mean_gradient(model: PreTrainedModel, texts: list[Encoded]) -> dict[str, Tensor]:
    """Of the token-mean NLL of all texts as one batch, for every weight."""
    weights = dict(model.named_parameters())
    for weight in weights.values():
        weight.requires_grad_(True)
    loss = answers(model, whole_batch(texts)).nll_N.mean()
    found = torch.autograd.grad(loss, list(weights.values()))
    for weight in weights.values():
        weight.requires_grad_(False)
    return dict(zip(weights, found, strict=True))


@pytest.mark.parametrize("rule", ["sgd", "sign"])
def test_the_influence_step_is_one_of_gradient_difference_against_everything(rule: str) -> None:
    model, before = tiny_model(dtype=torch.float64), tiny_model(dtype=torch.float64)
    forget, retain = mean_gradient(model, FORGET), mean_gradient(model, RETAIN)
    run("influence", model, editable(model, None), lr=0.01, rule=rule)
    after = dict(model.named_parameters())
    for name, weight in before.named_parameters():
        step = retain[name] - forget[name]
        step = step.sign() if rule == "sign" else step
        torch.testing.assert_close(after[name], weight - 0.01 * step, rtol=1e-7, atol=1e-12)
        assert rule == "sgd" or ((after[name] - weight).abs() < 0.01 + 1e-9).all()


def test_the_influence_step_makes_the_facts_less_likely_than_the_rest() -> None:
    model = tiny_model(dtype=torch.float64)
    before = [float(answer_nll(model, texts).mean()) for texts in (FORGET, RETAIN)]
    run("influence", model, editable(model, None), lr=0.05, rule="sgd")
    after = [float(answer_nll(model, texts).mean()) for texts in (FORGET, RETAIN)]
    assert after[0] > before[0] and after[1] < before[1]


def test_texts_forgotten_and_retained_alike_have_no_influence() -> None:
    model = tiny_model()
    before = state(model)
    edit = OBJECTIVES["influence"](OBJECTIVES["influence"].Config())
    data, config = UnlearnData(FORGET, FORGET), TrainConfig(lr=1.0)
    unlearn(model, editable(model, None), edit, data, config, 0)
    assert changed(before, model) == set()


def test_dampening_in_a_region_is_dampening_everywhere_seen_through_the_region() -> None:
    inside, everywhere = tiny_model(dtype=torch.float64), tiny_model(dtype=torch.float64)
    region = tiny_region(inside)
    run("ssd", inside, editable(inside, region))
    run("ssd", everywhere, editable(everywhere, None))
    found, expected = editable(inside, region).read(), editable(everywhere, region).read()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-12)


def test_mild_dampening_reaches_only_what_retain_never_uses() -> None:
    """beta = min(lambda F^r / F^f, 1) with a huge lambda is 0 where F^r is, 1 elsewhere."""
    model, retain = tiny_model(), fisher(tiny_model(), RETAIN)
    before = state(model)
    run("ssd", model, editable(model, None), alpha=0.0, dampening=1e30)
    for name in changed(before, model):
        moved = model.state_dict()[name] != before[name]
        assert (retain[name][moved] == 0).all() and (model.state_dict()[name][moved] == 0).all()
    assert "model.embed_tokens.weight" in changed(before, model)  # tokens of forget texts alone


def test_a_text_forgotten_and_retained_alike_is_left_alone() -> None:
    model = tiny_model()
    before = state(model)
    edit = OBJECTIVES["ssd"](OBJECTIVES["ssd"].Config(alpha=1.0))
    config = TrainConfig(lr=1.0)
    unlearn(model, editable(model, None), edit, UnlearnData(FORGET, FORGET), config, 0)
    assert changed(before, model) == set()


def test_dampening_makes_the_facts_less_likely_than_the_rest() -> None:
    model = tiny_model(dtype=torch.float64)
    before = [float(answer_nll(model, texts).mean()) for texts in (FORGET, RETAIN)]
    run("ssd", model, editable(model, None), alpha=3.0, dampening=0.0)
    rise = [
        float(answer_nll(model, texts).mean()) - start
        for texts, start in zip((FORGET, RETAIN), before, strict=True)
    ]
    assert rise[0] > rise[1]


def test_the_task_vector_is_turned_round() -> None:
    """At strength -1 it would be the reinforced model; the facts become less likely."""
    model = tiny_model(dtype=torch.float64)
    weights = RegionWeights(model, tiny_region(model))
    before, known = weights.read(), float(answer_nll(model, FORGET).sum())
    edit = OBJECTIVES["task_vector"](OBJECTIVES["task_vector"].Config(reinforce_lr=0.003))
    assert isinstance(edit, Edit)
    config = TrainConfig(steps=5, batch_size=4, schedule="constant")
    negated = edit.apply(EditInputs(model, weights, FORGET, RETAIN, config, seed=0))
    reinforced = weights.read()
    assert float(answer_nll(model, FORGET).sum()) < known
    for name, value in before.items():
        torch.testing.assert_close(negated[name] - value, value - reinforced[name])
    weights.write(negated)
    assert float(answer_nll(model, FORGET).sum()) > known


def test_a_task_vector_of_no_steps_is_the_identity() -> None:
    model = tiny_model()
    before = state(model)
    weights = RegionWeights(model, tiny_region(model))
    edit = OBJECTIVES["task_vector"](OBJECTIVES["task_vector"].Config())
    config = TrainConfig(steps=0, lr=3.0)
    unlearn(model, weights, edit, UnlearnData(FORGET, RETAIN), config, 0)
    assert changed(before, model) == set()


def test_an_edit_that_is_not_finite_is_reported_and_not_written() -> None:
    class Broken(Edit):
        def apply(self, given: EditInputs) -> Values:
            return {name: value / 0 for name, value in given.weights.read().items()}

    model = tiny_model()
    before = state(model)
    weights = RegionWeights(model, tiny_region(model))
    with pytest.raises(Diverged, match="not finite"):
        data = UnlearnData(FORGET, RETAIN)
        unlearn(model, weights, Broken(Broken.Config()), data, TrainConfig(), 0)
    assert changed(before, model) == set()


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("ssd", "alpha", -1.0),
        ("ssd", "alpha", math.nan),
        ("ssd", "dampening", -0.1),
        ("ssd", "examples", 0),
        ("ssd", "importance", "label"),
        ("influence", "rule", "adam"),
        ("kfade", "eps", -0.1),
        ("kfade", "damping", 0.0),
        ("kfade", "steps", 0),
        ("kfade", "examples", 0),
        ("task_vector", "reinforce_lr", -1e-5),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(name: str, option: str, value: float) -> None:
    with pytest.raises(UserError, match=f"option {option}="):
        OBJECTIVES[name].Config(**{option: value})
