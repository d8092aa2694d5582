"""Wrappers: what they do to one step, by hand, and that they stay where they are allowed."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from support.tiny import (
    changed,
    changed_columns,
    same_bits,
    state,
    tiny_model,
    tiny_region,
)
from support.unlearning import DATA, objective
from torch import Tensor, nn
from transformers import PreTrainedModel

from lacuna.errors import UserError
from lacuna.seeds import torch_generator
from lacuna.train import AllWeights, Diverged, Editable, RegionWeights, TrainConfig
from lacuna.unlearn import OBJECTIVES, WRAPPERS, UnlearnData, Wrapper, parse, unlearn
from lacuna.unlearn.wrappers.base import Point, Start
from lacuna.unlearn.wrappers.coreset import SCORES
from lacuna.unlearn.wrappers.reweight import DrawnBatches, draws, systematic

NEUTRAL: dict[str, dict[str, Any]] = {
    "sam": {"rho": 0.0},
    "smoothing": {"sigma": 0.0},
    "averaging": {"start": 1.0},
    "coreset": {"ratio": 1.0},
    "reweight": {"temperature": 1e30},
    "penalty": {"rho": 0.0},
    "curvature": {"rho": 0.0},
    "collapse": {"inputs": 0.0, "outputs": 0.0},
    "undo": {"noise": 0.0},
    "refine": {"below": 0.0},
    "effect": {"every": 1},
}
"""Options under which a wrapper does nothing."""
BOLD: dict[str, dict[str, Any]] = {
    "sam": {"rho": 0.5},
    "smoothing": {"sigma": 0.05},
    "averaging": {"start": 0.0, "every": 1},
    "coreset": {"ratio": 0.5, "select": "grand"},
    "reweight": {"temperature": 0.2},
    "penalty": {"rho": 5.0},
    "curvature": {"rho": 5.0, "mu": 0.1},
    "collapse": {"inputs": 0.2, "outputs": 0.2},
    "undo": {"noise": 0.5},
    "refine": {"below": 1.0},
    "effect": {"every": 1},
}
"""And under which it does a lot."""
SHIFTS = ("sam", "smoothing", "penalty", "curvature")
REACHES = [(name, {}) for name in WRAPPERS] + [(name, {"reach": "all"}) for name in SHIFTS]
every_wrapper = pytest.mark.parametrize("name", list(WRAPPERS))
every_reach = pytest.mark.parametrize(("name", "reach"), REACHES)
OBJECTIVE_NAMES = ("npo", "pdu", "undial", "rmu")
"""A reference, a state that moves, questions to the earlier model, a loss that reads few layers."""
KINDS = dict.fromkeys(OBJECTIVE_NAMES, (torch.bfloat16,)) | {"npo": (torch.float32, torch.bfloat16)}
"""Weights of float32 go another way in the wrappers, which is one for all objectives."""


def wrapper(name: str, **options: Any) -> Wrapper:
    return WRAPPERS[name](WRAPPERS[name].Config(**options))


def run(
    base: str,
    model: PreTrainedModel,
    wrappers: list[Wrapper],
    *,
    everywhere: bool = False,
    seed: int = 0,
    **train: Any,
) -> list[float]:
    weights = AllWeights(model) if everywhere else RegionWeights(model, tiny_region(model))
    plain = {"steps": 2, "lr": 0.02, "schedule": "constant", "batch_size": 2}
    config = TrainConfig(**{**plain, **train})
    method = objective(base, retain_weight=1.0)
    return unlearn(model, weights, method, DATA, config, seed, wrappers=wrappers).losses


def unlearned(base: str, *wrappers: Wrapper, **options: Any) -> PreTrainedModel:
    model = tiny_model()
    run(base, model, list(wrappers), **options)
    return model


def same(a: PreTrainedModel, b: PreTrainedModel) -> bool:
    return not changed(state(a), b)


class Plane:
    """Two weights as an `Editable` whose loss is (1/2) theta' H theta + b' theta."""

    H = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    b = torch.tensor([-1.0, 0.5], dtype=torch.float64)

    def __init__(self) -> None:
        start = torch.tensor([0.3, -0.7], dtype=torch.float64)
        self.masters = {"theta": nn.Parameter(start)}
        self.asked: list[Tensor] = []

    def loss(self) -> Tensor:
        theta = self.masters["theta"]
        self.asked.append(theta.detach().clone())
        return theta @ self.H @ theta / 2 + self.b @ theta

    def gather_gradients(self) -> None: ...

    def write_back(self) -> None: ...


def on_the_plane(*wrappers: Wrapper, plane: Any = None) -> tuple[Plane, Tensor]:
    plane = plane or Plane()
    point = Point(nn.Module(), plane, plane.loss, seed=5)  # type: ignore[arg-type]
    gradient = point.gradient
    for each in wrappers:
        gradient = each.gradient(gradient, point)  # type: ignore[assignment]
    return plane, gradient(plane)["theta"]


def test_sam_takes_the_gradient_rho_up_the_slope() -> None:
    plane, found = on_the_plane(wrapper("sam", rho=0.25))
    theta = plane.masters["theta"].detach()
    g = Plane.H @ theta + Plane.b
    shift = plane.asked[-1] - theta
    assert float(shift.norm()) == pytest.approx(0.25, rel=1e-12)
    torch.testing.assert_close(shift, 0.25 * g / g.norm())
    torch.testing.assert_close(found, Plane.H @ (theta + shift) + Plane.b)
    assert len(plane.asked) == 2 and same_bits(theta, Plane().masters["theta"].detach())


def test_smoothing_averages_the_gradient_over_its_draws() -> None:
    plane, found = on_the_plane(wrapper("smoothing", sigma=0.1, draws=4))
    theta = plane.masters["theta"].detach()
    generator = torch_generator(5, "smoothing")
    noise = torch.stack([torch.randn(2, generator=generator) for _ in range(4)]).double()
    torch.testing.assert_close(found, Plane.H @ (theta + 0.1 * noise.mean(0)) + Plane.b)
    assert same_bits(theta, Plane().masters["theta"].detach())


@pytest.mark.parametrize("h", [1e-3, 0.5])
def test_the_penalty_adds_the_slope_of_the_gradients_length(h: float) -> None:
    plane, found = on_the_plane(wrapper("penalty", rho=0.7, h=h))
    g = Plane.H @ plane.masters["theta"].detach() + Plane.b
    torch.testing.assert_close(found, g + 0.7 * Plane.H @ g / g.norm())  # any h: it is a quadratic
    assert len(plane.asked) == 2
    _, uphill = on_the_plane(wrapper("sam", rho=h))
    torch.testing.assert_close(on_the_plane(wrapper("penalty", rho=h, h=h))[1], uphill)


def test_curvature_is_blind_to_a_quadratic() -> None:
    plane, found = on_the_plane(wrapper("curvature", rho=3.0))
    theta = plane.masters["theta"].detach()
    torch.testing.assert_close(found, Plane.H @ theta + Plane.b, rtol=1e-8, atol=1e-8)
    assert len(plane.asked) == 4 and same_bits(theta, Plane().masters["theta"].detach())


class Cubic(Plane):
    """The loss 2 (theta_1^3 - theta_2^3) / 6, whose gradient at the start points to (+, -)."""

    def loss(self) -> Tensor:
        theta = self.masters["theta"]
        self.asked.append(theta.detach().clone())
        return (theta[0] ** 3 - theta[1] ** 3) / 3


def test_curvature_adds_the_slope_of_the_gradients_change() -> None:
    """Of a cubic H(theta) = diag(2 theta_1, -2 theta_2), so that d, its slope and g' are exact."""
    mu, rho, h = 0.05, 0.7, 0.01
    cubic, found = on_the_plane(wrapper("curvature", rho=rho, mu=mu, h=h), plane=Cubic())
    theta, sign = cubic.masters["theta"].detach(), torch.tensor([1.0, -1.0]).double()
    g = sign * theta**2
    shift = mu * g / g.norm()
    d = sign * ((theta + shift) ** 2 - theta**2)
    slope = 2 * sign * shift * d / d.norm()  # of |d|, with the shift held fixed
    torch.testing.assert_close(found, g + rho * slope)


def test_the_last_wrapper_of_the_name_is_outermost() -> None:
    sam, smoothing = wrapper("sam", rho=0.25), wrapper("smoothing", sigma=0.1, draws=2)
    inside, _ = on_the_plane(sam, smoothing)  # per draw: a direction there, a gradient uphill
    outside, _ = on_the_plane(smoothing, sam)  # a mean direction, then the draws uphill
    first, second = inside.asked[0], inside.asked[1]
    assert float((second - first).norm()) == pytest.approx(0.25, rel=1e-9)
    shifts = [b - a for a, b in zip(outside.asked[:2], outside.asked[2:], strict=True)]
    torch.testing.assert_close(shifts[0], shifts[1])
    assert float(shifts[0].norm()) == pytest.approx(0.25, rel=1e-9)


def decayed(base: str, everywhere: bool, *wrappers: Wrapper) -> PreTrainedModel:
    return unlearned(base, *wrappers, everywhere=everywhere, accumulation=2, weight_decay=0.1)


plain = cache(decayed)
"""The same without a wrapper, once for all."""


@every_wrapper
@pytest.mark.parametrize("everywhere", [False, True])
def test_a_wrapper_that_does_nothing_changes_no_bit(name: str, everywhere: bool) -> None:
    for base in ("npo", "rmu"):
        found = decayed(base, everywhere, wrapper(name, **NEUTRAL[name]))
        assert same(plain(base, everywhere), found)


@pytest.mark.parametrize("name", [name for name in WRAPPERS if name != "effect"])  # it only looks
def test_a_wrapper_that_does_something_changes_the_result_and_repeats(name: str) -> None:
    found = [unlearned("npo", wrapper(name, **BOLD[name]), accumulation=2) for _ in range(2)]
    assert same(*found)
    assert not same(found[0], unlearned("npo", accumulation=2))


@every_reach
@pytest.mark.parametrize("base", OBJECTIVE_NAMES)
def test_weights_outside_the_region_keep_their_bits(
    name: str, reach: dict[str, Any], base: str
) -> None:
    for dtype in KINDS[base]:
        model = tiny_model(dtype=dtype)
        before = state(model)
        run(base, model, [wrapper(name, **BOLD[name], **reach)], weight_decay=0.5)
        columns = changed_columns(before, model)
        allowed = {module: set(c.tolist()) for module, c in tiny_region(model).columns.items()}
        assert columns and all(found <= allowed[module] for module, found in columns.items())


@pytest.mark.parametrize(("name", "reach"), [r for r in REACHES if r[0] != "undo"])  # it jumps
@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_rate_of_zero_leaves_every_bit(
    name: str, reach: dict[str, Any], everywhere: bool, dtype: torch.dtype
) -> None:
    model = tiny_model(dtype=dtype)
    before = state(model)
    run("npo", model, [wrapper(name, **BOLD[name], **reach)], everywhere=everywhere, lr=0.0)
    assert changed(before, model) == set()


def test_a_shift_of_all_weights_differs_from_one_inside_the_region_only() -> None:
    inside = unlearned("npo", wrapper("sam", rho=0.5))
    assert not same(inside, unlearned("npo", wrapper("sam", rho=0.5, reach="all")))
    a, b = (wrapper("sam", rho=0.5, reach=reach) for reach in ("editable", "all"))
    assert same(unlearned("npo", a, everywhere=True), unlearned("npo", b, everywhere=True))


def test_the_multiplier_of_pdu_moves_once_a_batch() -> None:
    moved = []
    for wrappers in ([], [wrapper("sam", rho=0.1)]):
        model = tiny_model()
        pdu: Any = OBJECTIVES["pdu"](OBJECTIVES["pdu"].Config())
        config = TrainConfig(steps=3, lr=0.0, batch_size=6)
        unlearn(model, AllWeights(model), pdu, DATA, config, 0, wrappers=wrappers)
        moved.append(float(pdu.multiplier))
    assert moved[0] == moved[1] > 1


class Weights:
    """One weight whose path is given."""

    def __init__(self) -> None:
        self.masters = {"w": nn.Parameter(torch.zeros(1))}

    def write_back(self) -> None: ...


def test_averaging_ends_at_the_mean_of_the_steps_counted_back_from_the_last() -> None:
    average, weights = wrapper("averaging", start=0.5, every=2), Weights()
    path: Any = weights
    for done in range(1, 11):
        weights.masters["w"].data.fill_(done**2)
        average.after_step(path, done, 10)
    average.after_training(path)
    assert weights.masters["w"].item() == pytest.approx((36 + 64 + 100) / 3)


def start(data: UnlearnData = DATA) -> Start:
    model = tiny_model()
    return Start(model, RegionWeights(model, tiny_region(model)), data, 3, TrainConfig())


@pytest.mark.parametrize("select", list(SCORES))
def test_a_coreset_keeps_the_highest_scores_in_order_with_their_refusals(select: str) -> None:
    given = start(replace(DATA, draws=[1.0, 2.0, 3.0, 4.0]))
    kept = wrapper("coreset", ratio=0.5, select=select).data(given)
    best = sorted(SCORES[select](given).topk(2).indices.tolist())
    assert kept.forget == [DATA.forget[i] for i in best]
    assert kept.refusals == [DATA.refusals[i] for i in best]
    assert kept.draws == [i + 1.0 for i in best] and kept.retain is DATA.retain
    assert len(wrapper("coreset", ratio=0.01, select=select).data(given).forget) == 1


def test_draws_fall_with_the_alignment_and_average_one() -> None:
    found = draws(torch.tensor([1.0, -1.0]), temperature=0.5)
    ratio = torch.tensor([-4.0]).exp().item()  # exp(-1/(tau s)) : exp(1/(tau s)), s = 1
    assert float(found[0] / found[1]) == pytest.approx(ratio)
    assert float(found.mean()) == pytest.approx(1)
    assert draws(torch.full((3,), 2.0), temperature=0.1).tolist() == pytest.approx([1, 1, 1])


def test_a_forget_text_that_is_also_retained_is_drawn_less() -> None:
    clash = UnlearnData([DATA.retain[0], *DATA.forget[:3]], [DATA.retain[0]])
    found = wrapper("reweight").data(start(clash)).draws
    assert min(found) == found[0] and sum(found) == pytest.approx(4)


def test_epochs_are_drawn_by_weight() -> None:
    weights = torch.tensor([0.5, 2.25, 0.0, 1.25], dtype=torch.float64)
    counts = [
        torch.bincount(torch.tensor(systematic(weights, torch_generator(s))), minlength=4)
        for s in range(400)
    ]
    for count in counts:
        assert int(count.sum()) == 4 and ((count - weights).abs() < 1).all()
    mean = torch.stack(counts).double().mean(dim=0)
    torch.testing.assert_close(mean, weights, atol=0.1, rtol=0)
    batches = DrawnBatches(DATA.forget, 2, 0, [4.0, 0.0, 0.0, 0.0])
    assert {i for step in range(4) for i in batches[step].index_B.tolist()} == {0}


def test_a_gradient_that_is_not_finite_stops_with_the_weights_as_they_were() -> None:
    model = tiny_model()
    before = state(model)
    with pytest.raises(Diverged):
        run("npo", model, [wrapper("sam", rho=1e38)], lr=0.1)
    assert changed(before, model) == set()


def test_an_edit_takes_no_wrapper() -> None:
    model = tiny_model()
    weights: Editable = AllWeights(model)
    edit, config = OBJECTIVES["ssd"](OBJECTIVES["ssd"].Config()), TrainConfig()
    with pytest.raises(UserError, match="an edit takes no wrapper"):
        unlearn(model, weights, edit, DATA, config, 0, wrappers=[wrapper("sam")])


def test_a_name_is_an_objective_and_its_wrappers_in_order() -> None:
    assert parse("npo") == ("npo", [])
    assert parse("npo+coreset+sam") == ("npo", ["coreset", "sam"])


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("sam", "rho", -0.1),
        ("sam", "reach", "region"),
        ("smoothing", "sigma", -1.0),
        ("smoothing", "draws", 0),
        ("smoothing", "reach", "none"),
        ("averaging", "start", 1.1),
        ("averaging", "every", 0),
        ("coreset", "ratio", 0.0),
        ("coreset", "ratio", 1.5),
        ("coreset", "select", "best"),
        *[(name, "rho", -1.0) for name in ("penalty", "curvature")],
        *[(name, "h", 0.0) for name in ("penalty", "curvature")],
        ("curvature", "mu", 0.0),
        ("collapse", "inputs", 1.5),
        ("collapse", "outputs", -0.1),
        ("undo", "noise", 1.5),
        ("refine", "below", 1.1),
        ("effect", "every", 0),
        ("effect", "examples", 0),
        ("undo", "scale", -1.0),
        ("undo", "steps", -1.0),
        ("undo", "rate", -1.0),
        ("reweight", "temperature", 0.0),
        ("reweight", "examples", 0),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(name: str, option: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"option {option}={value}: must be"):
        wrapper(name, **{option: value})
