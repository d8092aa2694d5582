"""Objectives on answers: values by hand, limits, signs."""

import math
from typing import Any

import pytest
import torch
from support.tiny import tiny_model
from support.unlearning import objective
from torch import Tensor

from lacuna.data.tokens import Batch
from lacuna.model import Answers
from lacuna.unlearn import OBJECTIVES, Objective, Step
from lacuna.unlearn.base import Frozen, Reference
from lacuna.unlearn.objectives.flat import DIVERGENCES


def prepared(name: str, **options: Any) -> Objective:
    method = objective(name, **options)
    method.prepare(tiny_model(), torch.Generator())
    return method


def told(probabilities: list[list[float]]) -> Answers:
    """Answers whose tokens have the given probabilities, over a vocabulary of two."""
    p_N = torch.tensor(sum(probabilities, []), dtype=torch.float64)
    row_N = torch.tensor([b for b, row in enumerate(probabilities) for _ in row])
    logits_NV = torch.stack([p_N.log(), (1 - p_N).log()], dim=1).requires_grad_(True)
    labels_N = torch.zeros(len(p_N), dtype=torch.long)
    return Answers(logits_NV, labels_N, row_N, torch.arange(len(probabilities)))


FACTS = [[0.5, 0.25], [0.8]]
UNSURE = [[0.1], [0.2, 0.4, 0.5]]
KEPT = 0.7
"""Retain NLL of the handmade step."""


class Told(Step):
    """A step in which what the model says is given instead of computed."""

    forget_said: Answers
    refusal_said: Answers
    retain_nll: Tensor

    def __init__(
        self, rows: Batch, reference: Reference, forget: Answers, refusal: Answers, kept: float
    ) -> None:
        super().__init__(tiny_model(), rows, rows, rows, reference, Frozen(lambda _: rows.ids_BT))
        self.forget_said, self.refusal_said = forget, refusal
        self.retain_nll = torch.tensor(kept, dtype=torch.float64)


def by_hand(
    forget: list[list[float]] = FACTS,
    forget_reference: list[float] = [1.0, 0.1],  # noqa: B006
    refusal_reference: list[float] = [2.0, 5.0],  # noqa: B006
    token_reference: list[list[float]] = [[0.6, 1.4], [0.1]],  # noqa: B006
    kept: float = KEPT,
) -> Step:
    empty = torch.zeros(0)
    rows = Batch(empty, empty, torch.arange(2), empty)
    sums, tokens = torch.tensor(forget_reference), [torch.tensor(row) for row in token_reference]
    reference = Reference(sums, torch.tensor(refusal_reference), tokens)
    return Told(rows, reference, told(forget), told(UNSURE), kept)


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def npo_value(beta: float, mean: bool) -> float:
    ratios = [math.log(0.5 * 0.25) + 1.0, math.log(0.8) + 0.1]
    if mean:
        ratios = [ratios[0] / 2, ratios[1]]
    return -2 / beta * sum(log_sigmoid(-beta * r) for r in ratios) / 2


def dpo_value(beta: float, factor: float = 2.0) -> float:
    fact = [math.log(0.5 * 0.25) + 1.0, math.log(0.8) + 0.1]
    refusal = [math.log(0.1) + 2.0, math.log(0.2 * 0.4 * 0.5) + 5.0]
    pairs = zip(refusal, fact, strict=True)
    return -factor / beta * sum(log_sigmoid(beta * (r - f)) for r, f in pairs) / 2


def wga_value(alpha: float) -> float:
    return sum(p**alpha * math.log(p) for p in (0.5, 0.25, 0.8)) / 3


def simnpo_value(beta: float, delta: float) -> float:
    costs = [-math.log(0.5 * 0.25) / 2, -math.log(0.8)]
    return -2 / beta * sum(log_sigmoid(beta * (c - delta)) for c in costs) / 2


def satimp_value(beta1: float, beta2: float) -> float:
    return sum(p**beta1 * (1 - p) ** beta2 * math.log(p) for p in (0.5, 0.25, 0.8)) / 3


def tnpo_value(beta: float, alpha: float) -> float:
    total = 0.0
    for p, before in zip((0.5, 0.25, 0.8), (0.6, 1.4, 0.1), strict=True):
        total += 2 * p ** (beta + alpha) / (p**beta + math.exp(-before * beta)) * math.log(p)
    return total / 3


def margin(p: float) -> float:
    """Largest logit over the average of the two, with logits log p and log (1 - p)."""
    return abs(math.log(p) - math.log(1 - p)) / 2


MEAN_FACTS = [(0.5 + 0.25) / 2, 0.8]
MEAN_REFUSALS = [0.1, (0.2 + 0.4 + 0.5) / 3]


def flat_value(name: str) -> float:
    e, log2 = math.exp, math.log(2)
    terms = {
        "total_variation": lambda y, r: (math.tanh(y) - math.tanh(r)) / 2,
        "kl": lambda y, r: e(y - 1) - r,
        "reverse_kl": lambda y, r: y - 1 + e(-r),
        "pearson": lambda y, r: y * y / 4 + y - r,
        "neyman": lambda y, r: 2 - 2 * e(-y / 2) - (1 - e(-r)),
        "squared_hellinger": lambda y, r: e(y) - 1 - (1 - e(-r)),
        "jeffrey": lambda y, r: y + y * y / 4 + y**3 / 16 - r,
        "jensen_shannon": lambda y, r: y + math.log(1 + e(-y)) - log2 - log2 + math.log(1 + e(-r)),
    }
    return sum(terms[name](y, r) for y, r in zip(MEAN_FACTS, MEAN_REFUSALS, strict=True)) / 2


ASCENT = math.log(0.5 * 0.25 * 0.8) / 3
HANDMADE: list[tuple[str, dict[str, Any], float]] = [
    ("ga", {}, ASCENT),
    ("ga", {"retain_weight": 2.0}, ASCENT),
    ("graddiff", {}, ASCENT),
    ("oraclegrad", {}, ASCENT),
    ("memflex_lora", {}, 0.6 * (math.log(0.5 * 0.25) / 2 + math.log(0.8)) / 2),
    ("wga", {"alpha": 1.0}, wga_value(1.0)),
    ("wga", {"alpha": 0.3, "retain_weight": 0.0}, wga_value(0.3)),
    ("npo", {"beta": 0.5}, npo_value(0.5, mean=False)),
    ("npo", {"beta": 2.0, "retain_weight": 3.0}, npo_value(2.0, mean=False)),
    ("npo", {"beta": 0.5, "reduction": "mean"}, npo_value(0.5, mean=True)),
    ("dpo", {"beta": 0.5}, dpo_value(0.5)),
    ("dpo", {"beta": 2.0, "retain_weight": 0.0}, dpo_value(2.0)),
    ("dpo", {"beta": 0.5, "factor": 1.0}, dpo_value(0.5, factor=1.0)),
    ("simnpo", {}, simnpo_value(4.5, 0.0)),
    ("simnpo", {"beta": 2.0, "delta": 0.7}, simnpo_value(2.0, 0.7)),
    ("simnpo", {"beta": 10, "delta": 1.5, "retain_weight": 0.01 / 3}, simnpo_value(10, 1.5)),
    ("idk", {}, -math.log(0.1 * 0.2 * 0.4 * 0.5) / 4),
    ("satimp", {}, satimp_value(5.0, 1.0)),
    ("satimp", {"beta1": 0.5, "beta2": 2.0}, satimp_value(0.5, 2.0)),
    ("tnpo", {}, tnpo_value(4.0, 0.0)),
    ("tnpo", {"beta": 0.5, "retain_weight": 2.0}, tnpo_value(0.5, 0.0)),
    ("wtnpo", {}, tnpo_value(4.0, 1.5)),
    ("wtnpo", {"beta": 0.5, "alpha": 1.0}, tnpo_value(0.5, 1.0)),
    # of two tokens only the other one is left: CE = -log (1 - p)
    ("ceu", {"skip": 0}, -math.log(0.5 * 0.75 * 0.2) / 3),
    ("ceu", {}, -math.log(0.75)),
    ("pdu", {"retain_weight": 0.0}, sum(margin(p) ** 2 for p in (0.5, 0.25, 0.8)) / 3),
    *[("flat", {"divergence": name}, flat_value(name)) for name in DIVERGENCES],
]


@pytest.mark.parametrize(("name", "options", "forget"), HANDMADE)
def test_an_objective_has_its_hand_computed_value(
    name: str, options: dict[str, Any], forget: float
) -> None:
    method = prepared(name, **options)
    loss, weight = method.loss(by_hand()), method.config.retain_weight
    assert loss.metrics["loss/forget"].item() == pytest.approx(forget, rel=1e-6)
    assert loss.value.item() == pytest.approx(forget + weight * KEPT, rel=1e-6)
    assert ("loss/retain" in loss.metrics) == (weight > 0)


def test_a_retain_weight_of_zero_is_what_is_published_where_nothing_is_retained() -> None:
    without = {
        name
        for name, method in OBJECTIVES.items()
        if issubclass(method, Objective) and not prepared(name).uses_retain
    }
    assert without == {"ga", "undial", "ceu", "flat", "icu", "dto"}


ON_FACTS: list[tuple[str, dict[str, Any]]] = [
    *[(name, {}) for name in ("ga", "graddiff", "wga", "npo", "dpo", "simnpo", "satimp")],
    *[("tnpo", {}), ("wtnpo", {}), ("ceu", {"skip": 0})],
    *[("flat", {"divergence": name}) for name in DIVERGENCES],
]


@pytest.mark.parametrize(("name", "options"), ON_FACTS)
def test_descent_makes_every_token_of_the_facts_less_likely(
    name: str, options: dict[str, Any]
) -> None:
    step = by_hand()
    method = prepared(name, **options)
    method.loss(step).value.backward()
    gradient_NV = step.forget_said.logits_NV.grad
    assert gradient_NV is not None
    assert (gradient_NV[:, 0] > 0).all()
    if method.needs_refusals:
        refusal_NV = step.refusal_said.logits_NV.grad
        assert refusal_NV is not None and (refusal_NV[:, 0] < 0).all()


def test_tuning_on_refusals_leaves_the_facts_out_of_it() -> None:
    step = by_hand()
    prepared("idk").loss(step).value.backward()
    refusal_NV = step.refusal_said.logits_NV.grad
    assert refusal_NV is not None and (refusal_NV[:, 0] < 0).all()
    assert step.forget_said.logits_NV.grad is None


def test_the_weight_of_weighted_ascent_carries_no_gradient() -> None:
    step = by_hand()
    prepared("wga", alpha=1.0).loss(step).value.backward()
    gradient_NV = step.forget_said.logits_NV.grad
    assert gradient_NV is not None
    # d/dlogit of p* log p with p* fixed is p* (1 - p); of p log p it would be p (1 + log p)(1 - p)
    expected = [p * (1 - p) / 3 for p in (0.5, 0.25, 0.8)]
    assert gradient_NV[:, 0].tolist() == pytest.approx(expected)


def gradient(name: str, reference: list[float] = [0.0, 0.0], **options: Any) -> Tensor:  # noqa: B006
    """Gradient on handmade answers of equal length."""
    tokens = [[0.2, 0.7], [1.1, 0.4]]
    facts = [[0.5, 0.25], [0.8, 0.3]]
    step = by_hand(facts, forget_reference=reference, token_reference=tokens)
    prepared(name, retain_weight=0.0, **options).loss(step).value.backward()
    found = step.forget_said.logits_NV.grad
    assert found is not None
    return found


def test_npo_tends_to_gradient_ascent_as_beta_falls() -> None:
    ascent = gradient("ga")
    far = [9.0, 0.01]
    torch.testing.assert_close(
        gradient("npo", far, beta=1e-6), 2 * ascent, rtol=1e-4, atol=0
    )  # two tokens an answer: sums are twice the means
    mean = gradient("npo", far, beta=1e-6, reduction="mean")
    torch.testing.assert_close(mean, ascent, rtol=1e-4, atol=0)
    assert not torch.allclose(gradient("npo", far, beta=1.0), 2 * ascent, rtol=0.1)


def test_npo_leaves_alone_what_is_already_forgotten() -> None:
    forgotten, known = gradient("npo", [-60.0, 0.0], beta=1.0).split(2)
    assert forgotten.abs().max() < 1e-20 < 1e-3 < known.abs().max()


def test_weighted_ascent_with_alpha_zero_is_gradient_difference() -> None:
    steps = [by_hand(), by_hand()]
    losses = [
        prepared("wga", alpha=0.0).loss(steps[0]),
        prepared("graddiff").loss(steps[1]),
    ]
    assert losses[0].value.item() == losses[1].value.item()
    for loss in losses:
        loss.value.backward()
    grads = [step.forget_said.logits_NV.grad for step in steps]
    assert grads[0] is not None and grads[1] is not None and torch.equal(grads[0], grads[1])


@pytest.mark.parametrize(
    ("special", "options", "general", "known"),
    [
        ("satimp", {"beta1": 0.0, "beta2": 0.0}, "graddiff", {}),
        ("satimp", {"beta1": 0.3, "beta2": 0.0}, "wga", {"alpha": 0.3}),
        ("wtnpo", {"beta": 2.0, "alpha": 0.0}, "tnpo", {"beta": 2.0}),
        ("wtnpo", {"beta": 1e-9, "alpha": 0.7}, "wga", {"alpha": 0.7}),
        ("tnpo", {"beta": 1e-9}, "graddiff", {}),
        ("simnpo", {"beta": 1e-7}, "graddiff", {}),  # answers of one length
    ],
)
def test_an_objective_has_another_one_as_its_limit(
    special: str, options: dict[str, Any], general: str, known: dict[str, Any]
) -> None:
    expected = gradient(general, **known)
    torch.testing.assert_close(gradient(special, **options), expected, rtol=1e-6, atol=0)


def test_simnpo_leaves_alone_what_is_past_the_margin() -> None:
    step = by_hand([[1e-9], [0.5]])
    prepared("simnpo", delta=0.7, beta=2.0).loss(step).value.backward()
    past, short = step.forget_said.logits_NV.grad.abs().amax(dim=1).tolist()  # type: ignore[union-attr]
    assert past < 1e-15 < 0.1 < short


def test_token_npo_at_the_reference_is_gradient_difference() -> None:
    before = [[-math.log(p) for p in row] for row in FACTS]
    loss = prepared("tnpo", beta=3.0).loss(by_hand(token_reference=before))
    assert loss.value.item() == pytest.approx(ASCENT + KEPT, rel=1e-6)


def test_token_npo_has_the_slope_of_npo_on_answers_of_one_token() -> None:
    slopes = []
    for name in ("npo", "tnpo"):
        facts, before = [[0.5], [0.8]], [0.3, 1.2]
        step = by_hand(facts, before, token_reference=[[value] for value in before])
        prepared(name, beta=1.5).loss(step).value.backward()
        slopes.append(step.forget_said.logits_NV.grad)
    torch.testing.assert_close(slopes[0], slopes[1])


def test_cross_entropy_unlearning_pulls_by_probability_less_target() -> None:
    step = by_hand([[0.5, 0.25], [1 - 1e-9, 1e-9]])
    prepared("ceu", skip=0).loss(step).value.backward()
    gradient_NV = step.forget_said.logits_NV.grad
    assert gradient_NV is not None
    expected = [0.5, 0.25, 1 - 1e-9, 1e-9]  # the target gives the label nothing
    assert (4 * gradient_NV[:, 0]).tolist() == pytest.approx(expected, rel=1e-6)


def test_the_multiplier_of_the_bound_follows_the_retain_term() -> None:
    method, seen = prepared("pdu", dual_rate=2.0, epsilon=0.3, retain_weight=0.5), []
    for kept in (0.7, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.7):
        loss = method.loss(by_hand(kept=kept))
        seen.append(loss.metrics["loss/multiplier"].item())
        total = loss.metrics["loss/forget"].item() + seen[-1] * (kept - 0.3)
        assert loss.value.item() == pytest.approx(total)
    assert seen == pytest.approx([0.5, 1.3, 1.5, 1.1, 0.7, 0.3, 0.0, 0.0])
    method.prepare(tiny_model(), torch.Generator())
    again = method.loss(by_hand()).metrics["loss/multiplier"].item()
    assert again == 0.5


def test_a_dual_rate_of_zero_is_a_fixed_weight() -> None:
    method = prepared("pdu", dual_rate=0.0, retain_weight=3.0)
    weights = [method.loss(by_hand()).metrics["loss/multiplier"].item() for _ in range(3)]
    assert weights == [3.0] * 3


def divergence_of(name: str, u: float) -> float:
    """f(u), the generator of the divergence, zero at 1."""
    values = {
        "total_variation": abs(u - 1) / 2,
        "kl": u * math.log(u),
        "reverse_kl": -math.log(u),
        "pearson": (u - 1) ** 2,
        "neyman": (1 - u) ** 2 / u,
        "squared_hellinger": (math.sqrt(u) - 1) ** 2,
        "jeffrey": (u - 1) * math.log(u),
        "jensen_shannon": u * math.log(u) - (u + 1) * math.log((u + 1) / 2),
    }
    return values[name]


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_activation_and_conjugate_of_a_divergence_belong_together(name: str) -> None:
    """sup over v of u g(v) - f*(g(v)) is f(u): Fenchel's identity, which a wrong pair breaks."""
    g, conjugate = DIVERGENCES[name]
    exact = name != "jeffrey"  # a cubic, which holds near u = 1
    v = torch.linspace(-20, 20, 400_001) if exact else torch.linspace(-1, 1, 100_001)
    v = v.double()
    for u in (0.3, 0.8, 1.0, 1.7, 4.0) if exact else (0.9, 1.0, 1.1):
        found = float((u * g(v) - conjugate(v)).max())
        within = 1e-3 if exact else 5e-3
        assert found == pytest.approx(divergence_of(name, u), rel=within, abs=1e-6)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_an_activation_rises_so_that_facts_fall_and_refusals_rise(name: str) -> None:
    g, conjugate = DIVERGENCES[name]
    v = torch.linspace(0, 1, 101).double()
    assert g(v).diff().min() > 0 and conjugate(v).diff().min() > 0


def test_total_variation_is_zero_where_facts_and_refusals_are_equally_likely() -> None:
    step = by_hand([[0.1], [0.2, 0.4, 0.5]])
    assert prepared("flat").loss(step).value.item() == 0.0
