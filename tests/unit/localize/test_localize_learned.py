"""Localizers that learn masks, remove weights or follow curvature: formulas, finds and misses."""

from functools import cache
from typing import Any

import pytest
import torch
from support.localizing import FORGET, PLANTED, autograd, close, evidence, planted, scores
from support.tiny import same_bits, state, whole_batch
from torch import Tensor

from lacuna.data.tokens import IGNORE, Encoded, TrainingBatches
from lacuna.errors import UserError
from lacuna.localize import LOCALIZERS, Evidence
from lacuna.localize.evidence import weight_gradients
from lacuna.localize.localizers.obd_sharp import sharpness
from lacuna.localize.localizers.subnet import kept
from lacuna.localize.masking import switch_slopes
from lacuna.model import answers, value_modules
from lacuna.train import mean_nll

OPTIONS: dict[str, dict[str, Any]] = {
    "subnet": {"epochs": 60},
    "balanced_subnet": {"epochs": 60},
    "slimming": {},
    "hard_concrete": {},
    "obs": {},
    "greedy": {},
    "obd_sharp": {},
}
"""Learned masks of few texts need more passes over them than there are by default."""
WEAK = 0.3
"""A strength of the planted vector at which more of it would tell more."""


@cache
def found(name: str, strength: float = WEAK, certain: bool = False) -> Tensor:
    seen, module = planted(strength, certain)
    return scores(name, seen, **OPTIONS[name])[module]


@pytest.mark.parametrize("name", OPTIONS)
def test_the_vector_that_tells_the_fact_is_ranked_first_in_its_layer(name: str) -> None:
    assert int(found(name).argmax()) == PLANTED


def test_a_fact_told_with_certainty_has_no_gradient_and_is_not_found_by_it() -> None:
    seen, module = planted(certain=True)
    assert all((gradient == 0).all() for gradient in seen.gradients("forget").values())
    assert int(found("greedy", 3.0, True).argmax()) != PLANTED
    assert found("obd_sharp", 3.0, True).abs().max() == 0
    lengths = seen.norms[module].square().argsort()  # all that is left to OBS
    assert torch.equal(found("obs", 3.0, True).argsort(), lengths)


@pytest.mark.parametrize("name", ["slimming", "hard_concrete"])
def test_what_no_vector_tells_leaves_no_vector_standing_out(name: str) -> None:
    score, told = found(name, 0.0), found(name, 3.0)
    assert float(score.max() - score.min()) < 0.3 < float(told.max() - told.mean())


def test_a_balanced_mask_spares_what_retain_needs_as_much() -> None:
    """Of the same texts on both sides the losses cancel; the plain mask finds it none the less."""
    seen, module = planted(WEAK)
    both = Evidence(model=seen.model, forget=seen.forget, retain=seen.forget, seed=0)
    assert int(scores("subnet", both, **OPTIONS["subnet"])[module].argmax()) == PLANTED
    blind = scores("balanced_subnet", both, **OPTIONS["balanced_subnet"])[module]
    start = scores("balanced_subnet", both, epochs=1)[module]
    assert torch.equal(blind.argsort(), start.argsort())


def awake() -> tuple[Evidence, str]:
    """A model in which one neuron of the last layer is awake where forget answers are predicted."""
    seen, module = planted(WEAK)
    name = module.removesuffix(".down_proj")
    read: list[Tensor] = []
    mlp = seen.model.get_submodule(name)
    handle = mlp.register_forward_pre_hook(lambda _, args: read.append(args[0]))
    seen.model(input_ids=torch.tensor([text.ids for text in seen.forget]))
    seen.model(input_ids=whole_batch(seen.retain).ids_BT)
    handle.remove()
    towards = read[0][:, 2].mean(dim=0) - read[1].flatten(0, 1).mean(dim=0)
    with torch.no_grad():
        for part in ("gate_proj", "up_proj"):
            mlp.get_submodule(part).weight[PLANTED] = 3 * towards
    return seen, module


def test_a_gauss_newton_step_goes_where_forget_alone_is_awake() -> None:
    seen, module = awake()
    found_scores = scores("kfac", seen)[module]
    assert int(found_scores.argmax()) == PLANTED
    both = Evidence(model=seen.model, forget=seen.forget, retain=seen.forget, seed=0)
    plain, spared = (scores("kfac", both, damping=by)[module] for by in (1e9, 1e-3))
    ahead = [float(score[PLANTED] / score.median()) for score in (plain, spared)]
    assert ahead[1] < 0.9 * ahead[0]  # retain needs it as much


def test_heavy_damping_ranks_by_the_gradients_length() -> None:
    seen = evidence()
    expected = {name: g.norm(dim=0) for name, g in autograd(seen, FORGET).items()}
    method = scores("kfac", seen, damping=1e12)
    for name, score in method.items():
        torch.testing.assert_close(score / score.sum(), expected[name] / expected[name].sum())


def test_obs_of_single_weights_is_brain_damage() -> None:
    seen = evidence()
    squares = [autograd(seen, [text]) for text in FORGET]
    method = LOCALIZERS["obs"](LOCALIZERS["obs"].Config(block=1, damping=1e-3))
    for name, score in method.weight_scores(seen).items():
        mean = torch.stack([g[name].square() for g in squares]).mean(0)
        weight = seen.weights[name]
        torch.testing.assert_close(score, weight.square() * (1e-3 + mean) / 2, rtol=1e-4, atol=0)


def test_obs_of_a_block_is_the_dense_inverse() -> None:
    seen = evidence()
    name = list(seen.weights)[0]
    rows = torch.stack([autograd(seen, [text])[name].flatten()[:7] for text in FORGET])
    fisher = rows.T @ rows / len(rows) + 1e-4 * torch.eye(7)
    expected = seen.weights[name].flatten()[:7].square() / (2 * torch.linalg.inv(fisher).diag())
    method = LOCALIZERS["obs"](LOCALIZERS["obs"].Config(block=7, damping=1e-4))
    torch.testing.assert_close(
        method.weight_scores(seen)[name].flatten()[:7], expected, rtol=1e-3, atol=0
    )


def test_greedy_in_one_step_is_the_first_order_estimate() -> None:
    seen = evidence()
    gradients = autograd(seen, FORGET)
    rises = torch.cat([-(w * gradients[n]).flatten() for n, w in seen.weights.items()])
    method = LOCALIZERS["greedy"](LOCALIZERS["greedy"].Config(steps=1, share=0.05))
    flat = torch.cat([score.flatten() for score in method.weight_scores(seen).values()])
    count = round(0.05 * len(flat))
    assert set(flat.topk(count).indices.tolist()) == set(rises.topk(count).indices.tolist())
    assert int((flat == 1).sum()) == count


def test_greedy_takes_its_share_in_steps_and_the_early_ones_first() -> None:
    method = LOCALIZERS["greedy"](LOCALIZERS["greedy"].Config(steps=4, share=0.1))
    flat = torch.cat([score.flatten() for score in method.weight_scores(evidence()).values()])
    size = len(flat)
    assert [int((flat == k).sum()) for k in (4, 3, 2, 1)] == [
        round(0.1 * size * k / 4) - round(0.1 * size * (k - 1) / 4) for k in (1, 2, 3, 4)
    ]
    assert flat[flat < 1].min() >= 0


def test_sharpness_is_the_rise_up_a_texts_own_slope() -> None:
    seen = evidence()
    before, rows = state(seen.model), []
    small, large = sharpness(seen, 1e-3), sharpness(seen, 0.5)
    for text in FORGET:
        slopes = autograd(seen, [text])
        rows.append(torch.cat([g.flatten() for g in slopes.values()]).norm())
    torch.testing.assert_close(small / 1e-3, torch.stack(rows), rtol=2e-2, atol=0)
    assert not torch.allclose(large / 0.5, torch.stack(rows), rtol=2e-2)
    assert all(same_bits(value, before[name]) for name, value in seen.model.state_dict().items())


def test_of_all_texts_sharp_damage_is_plain_brain_damage() -> None:
    seen = evidence()
    squares = [autograd(seen, [text]) for text in FORGET]
    expected = {
        n: (w.square() * torch.stack([g[n].square() for g in squares]).mean(0) / 2).mean(0)
        for n, w in seen.weights.items()
    }
    close(scores("obd_sharp", seen, share=1.0), expected)
    sharpest = int(sharpness(seen, 0.01).argmax())
    one = {
        n: (w.square() * squares[sharpest][n].square() / 2).mean(0) for n, w in seen.weights.items()
    }
    close(scores("obd_sharp", seen, share=0.25), one)


def test_slopes_of_switches_are_derivatives_and_the_model_is_put_back() -> None:
    seen = evidence()
    modules, batch = value_modules(seen.model), whole_batch(FORGET)
    before = state(seen.model)
    switches = {name: torch.full((24,), 0.7) for name in modules}
    slopes, value = switch_slopes(seen.model, modules, switches, {-2.0: batch})
    assert all(same_bits(v, before[name]) for name, v in seen.model.state_dict().items())
    name, module = list(modules.items())[1]
    ends = []
    for shift in (1e-2, -1e-2):
        with torch.no_grad():
            for each in modules.values():
                each.weight *= 0.7
            module.weight[:, 3] *= (0.7 + shift) / 0.7
            ends.append(float(-2 * mean_nll(answers(seen.model, batch))))
            seen.model.load_state_dict(before)
    assert float(slopes[name].sum(0)[3]) == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=5e-3)
    assert value == pytest.approx(sum(ends) / 2, rel=1e-3)


def test_a_mask_keeps_all_but_the_share_nearest_to_zero() -> None:
    values = torch.tensor([[0.5, -0.1, 0.3], [-0.9, 0.2, -0.05]])
    assert kept(values, 1 / 3).tolist() == [[1, 0, 1], [1, 1, 0]]


def test_one_epoch_of_a_subnet_by_hand() -> None:
    seen, config = evidence(), LOCALIZERS["subnet"].Config(epochs=1)
    method: Any = LOCALIZERS["subnet"](config)
    start, modules = method._start(seen), value_modules(seen.model)
    masks = {name: kept(value, 0.1) for name, value in start.items()}
    whole = {name: m.weight.detach().clone() for name, m in modules.items()}
    with torch.no_grad():
        for name, module in modules.items():
            module.weight *= masks[name]
    with weight_gradients(modules):
        (-mean_nll(answers(seen.model, whole_batch(FORGET)))).backward()
        slopes = {
            name: m.weight.grad.clone() for name, m in modules.items() if m.weight.grad is not None
        }
    with torch.no_grad():
        for name, module in modules.items():
            module.weight.copy_(whole[name])
    found_scores = method.weight_scores(seen)
    assert len(TrainingBatches(FORGET, 16, 0)[0].index_B) == len(FORGET)
    for name, value in start.items():
        step = slopes[name] * whole[name] * value.sign() + 5e-4 * value
        torch.testing.assert_close(
            found_scores[name].double(), -(value - 0.1 * step).abs(), rtol=1e-4, atol=1e-7
        )


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("subnet", "share", 1.0),
        ("subnet", "epochs", 0),
        ("subnet", "batch_size", 0),
        ("balanced_subnet", "lr", 0.0),
        ("slimming", "penalty", -1.0),
        ("slimming", "lr", 0.0),
        ("slimming", "stop", 1.5),
        ("slimming", "steps", 0),
        ("hard_concrete", "temperature", 0.0),
        ("hard_concrete", "batch_size", 0),
        ("obs", "block", 0),
        ("obs", "damping", 0.0),
        ("obs", "examples", 0),
        ("greedy", "share", 0.0),
        ("greedy", "steps", 0),
        ("obd_sharp", "share", 0.0),
        ("obd_sharp", "eta", 0.0),
        ("kfac", "damping", 0.0),
        ("kfac", "examples", 0),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(name: str, option: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"{option}={value}"):
        LOCALIZERS[name].Config(**{option: value})


def test_texts_without_a_question_are_no_obstacle() -> None:
    seen = evidence()
    plain = Evidence(seen.model, [Encoded([3, 4, 5], [IGNORE, 4, 5])], FORGET, seed=1)
    for name in ("greedy", "kfac", "obs"):
        assert all(torch.isfinite(s).all() for s in scores(name, plain).values())
