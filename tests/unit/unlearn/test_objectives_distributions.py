"""Objectives and retain terms on whole distributions: UNDIAL, KL matching, PDU's places, `retain`.

Expected values are computed text by text, without padding, from the plain output of the models.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.tiny import (
    changed,
    state,
    tiny_model,
    tiny_region,
    whole_batch,
)
from support.unlearning import DATA, FORGET, RETAIN, objective
from torch import Tensor
from transformers import PreTrainedModel

from lacuna.data.tokens import IGNORE, Encoded
from lacuna.model.hidden import decoder_layers, outputs
from lacuna.train import AllWeights, Loss, RegionWeights, TrainConfig, mean_kl
from lacuna.unlearn import Objective, Step, unlearn
from lacuna.unlearn.base import Frozen, Reference

ANSWER = 3
"""Where an answer starts."""


def prepared(name: str, **options: Any) -> Objective:
    method = objective(name, **options)
    method.prepare(tiny_model(), torch.Generator().manual_seed(0))
    return method


def loss_of(method: Objective, model: PreTrainedModel, original: PreTrainedModel) -> Loss:
    frozen = Frozen(lambda view: view(original).detach(), original)
    batches = whole_batch(FORGET), whole_batch(RETAIN), None
    return method.loss(Step(model, *batches, Reference(torch.zeros(0)), frozen))


def two_models() -> tuple[PreTrainedModel, PreTrainedModel]:
    return tiny_model(dtype=torch.float64), tiny_model(seed=5, dtype=torch.float64)


def logits(model: PreTrainedModel, text: Encoded) -> Tensor:
    found: Tensor = model(input_ids=torch.tensor([text.ids])).logits[0]
    return found


def mean_over_answers(
    texts: list[Encoded], cost: Callable[[Encoded, int], float], late: int = 1
) -> float:
    """Mean of cost(text, t) over the places t that predict answer tokens (late = 0: that hold)."""
    costs = [cost(text, t - late) for text in texts for t in range(ANSWER, len(text.ids))]
    return sum(costs) / len(costs)


def divergence(p: Tensor, q: Tensor) -> float:
    pairs = zip(p.tolist(), q.tolist(), strict=True)
    return sum(a * (math.log(a) - math.log(b)) for a, b in pairs)


def test_undial_distils_the_injected_model_with_the_labels_logit_lowered() -> None:
    model, original = two_models()

    def cost(text: Encoded, t: int) -> float:
        wanted = logits(original, text)[t].clone()
        wanted[text.ids[t + 1]] -= 3.0
        return -float((wanted.softmax(0) * logits(model, text)[t].log_softmax(0)).sum())

    found = loss_of(prepared("undial", beta=3.0), model, original)
    assert found.value.item() == pytest.approx(mean_over_answers(FORGET, cost), rel=1e-9)
    assert set(found.metrics) == {"loss/forget"}


def test_undials_peer_form_counts_every_place_and_lowers_a_logit_there() -> None:
    model, original = two_models()
    batch = whole_batch(FORGET)
    mask = batch.real_BT.long()
    now, before = (m(input_ids=batch.ids_BT, attention_mask=mask).logits for m in (model, original))
    costs = []
    for b, row in enumerate(batch.labels_BT.tolist()):
        for t, label in enumerate(row[1:]):
            wanted = before[b, t].clone()
            wanted[label if label != IGNORE else -100 % 40] -= 3.0
            costs.append(-float((wanted.softmax(0) * now[b, t].log_softmax(0)).sum()))
    found = loss_of(prepared("undial", beta=3.0, masking="peer"), model, original).value.item()
    assert found == pytest.approx(sum(costs) / len(costs), rel=1e-9)
    assert found != pytest.approx(
        loss_of(prepared("undial", beta=3.0), model, original).value.item(), rel=1e-3
    )


def test_matching_distributions_is_the_mean_divergence_from_the_retained_model() -> None:
    model, retained = two_models()

    def cost(text: Encoded, t: int) -> float:
        return divergence(*(logits(m, text)[t].softmax(0) for m in (retained, model)))

    found = loss_of(prepared("match_kl", retain_weight=0.0), model, retained).value.item()
    assert found == pytest.approx(mean_over_answers(FORGET, cost), rel=1e-9)


@pytest.mark.parametrize(("masking", "late"), [("answers", 1), ("peer", 0)])
def test_the_margin_is_taken_where_answers_are_predicted_or_as_the_peer_does_at_them(
    masking: str, late: int
) -> None:
    model, original = two_models()

    def cost(text: Encoded, t: int) -> float:
        row = logits(model, text)[t].tolist()
        return (max(row) - sum(row) / len(row)) ** 2

    method = prepared("pdu", masking=masking, retain_weight=0.0)
    found = loss_of(method, model, original).value.item()
    assert found == pytest.approx(mean_over_answers(FORGET, cost, late), rel=1e-9)


def slope(method: Objective, model: PreTrainedModel, original: PreTrainedModel) -> float:
    model.requires_grad_(True)
    loss_of(method, model, original).value.backward()
    return max(float(w.grad.abs().max()) for w in model.parameters() if w.grad is not None)


@pytest.mark.parametrize(
    ("name", "options"),
    [("undial", {"beta": 0.0}), ("match_kl", {"retain_weight": 0.0})],
)
def test_there_is_no_slope_where_nothing_is_left_to_imitate(
    name: str, options: dict[str, Any]
) -> None:
    model, other = two_models()
    same = tiny_model(dtype=torch.float64)
    assert slope(prepared(name, **options), model, same) < 1e-12
    assert slope(prepared(name, **options), model, other) > 1e-3


def test_matching_distributions_reaches_the_retained_model_through_the_region() -> None:
    model, retained = tiny_model(seed=9), tiny_model(seed=9)
    weights = RegionWeights(model, tiny_region(model))
    weights.write({name: value + 0.2 for name, value in weights.read().items()})
    weights = RegionWeights(model, tiny_region(model))
    config = TrainConfig(steps=60, lr=0.02, batch_size=4)
    method = prepared("match_kl", retain_weight=0.0)
    history = unlearn(model, weights, method, DATA, config, seed=0, retained=retained)
    assert history.losses[-1] < 0.05 * history.losses[0]


# --- retain terms -----------------------------------------------------------------------------


def retain_term(kind: str, model: PreTrainedModel, original: PreTrainedModel) -> float:
    loss = loss_of(prepared("graddiff", retain=kind, retain_weight=2.0), model, original)
    forget, retain = (loss.metrics[f"loss/{which}"].item() for which in ("forget", "retain"))
    assert loss.value.item() == pytest.approx(forget + 2 * retain, rel=1e-6)
    return retain


def test_the_nll_term_is_the_mean_over_retain_tokens() -> None:
    model, original = two_models()

    def cost(text: Encoded, t: int) -> float:
        return -float(logits(model, text)[t].log_softmax(0)[text.ids[t + 1]])

    found = retain_term("nll", model, original)
    assert found == pytest.approx(mean_over_answers(RETAIN, cost), rel=1e-9)


def test_the_kl_term_is_the_mean_divergence_from_the_injected_model() -> None:
    model, original = two_models()

    def cost(text: Encoded, t: int) -> float:
        return divergence(*(logits(m, text)[t].softmax(0) for m in (original, model)))

    found = retain_term("kl", model, original)
    assert found == pytest.approx(mean_over_answers(RETAIN, cost), rel=1e-9)


def test_the_peers_kl_term_counts_prompt_and_padding() -> None:
    model, original = two_models()
    batch = whole_batch(RETAIN)
    mask = batch.real_BT.long()
    assert not batch.real_BT.all()
    now, before = (
        m(input_ids=batch.ids_BT, attention_mask=mask).logits.softmax(-1).flatten(0, 1)
        for m in (model, original)
    )
    expected = [divergence(p, q) for p, q in zip(before, now, strict=True)]
    found = retain_term("kl_peer", model, original)
    assert found == pytest.approx(sum(expected) / len(expected), rel=1e-9)


def test_the_hidden_term_is_the_mean_square_over_layers_tokens_and_width() -> None:
    model, original = two_models()

    def cost(text: Encoded, t: int) -> float:
        batch = whole_batch([text])
        pairs = zip(*(outputs(m, batch, decoder_layers(m)) for m in (model, original)), strict=True)
        return sum(float((a[0, t] - b[0, t]).square().mean()) for a, b in pairs) / 2

    found = retain_term("hidden", model, original)
    assert found == pytest.approx(mean_over_answers(RETAIN, cost, late=0), rel=1e-9)


ANCHORED = [
    *[("npo", {"retain": kind}) for kind in ("kl", "kl_peer", "hidden")],
    ("undial", {"retain": "kl", "retain_weight": 1.0}),
    ("rmu", {"retain": "kl"}),
]
anchored = pytest.mark.parametrize(("name", "options"), ANCHORED)


@anchored
@pytest.mark.parametrize("everywhere", [False, True])
def test_a_term_that_anchors_is_zero_at_the_start_and_grows_as_the_model_moves(
    name: str, options: dict[str, Any], everywhere: bool
) -> None:
    model, seen = tiny_model(), []
    weights = AllWeights(model) if everywhere else RegionWeights(model, tiny_region(model))
    config = TrainConfig(steps=4, lr=0.05, batch_size=6)
    unlearn(
        model,
        weights,
        prepared(name, **options),
        DATA,
        config,
        seed=0,
        on_step=lambda _, metrics: seen.append(metrics["loss/retain"]),
    )
    assert seen[0] == 0.0
    assert all(value > 1e-6 for value in seen[1:])


@anchored
def test_at_the_start_a_term_that_anchors_pulls_nowhere(name: str, options: dict[str, Any]) -> None:
    steps = []
    for weight in (0.0, 1.0):
        model = tiny_model(dtype=torch.float64)
        config = TrainConfig(steps=1, lr=0.05, batch_size=6, clip=0)
        method = prepared(name, **{**options, "retain_weight": weight})
        unlearn(model, RegionWeights(model, tiny_region(model)), method, DATA, config, seed=0)
        steps.append(model)
    for a, b in zip(steps[0].parameters(), steps[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-8)


@pytest.mark.parametrize("kind", ["nll", "kl", "hidden"])
def test_a_retain_term_keeps_the_retain_set_nearer(kind: str) -> None:
    def moved(weight: float) -> float:
        model, original = tiny_model(), tiny_model()
        method = prepared("ga", retain=kind, retain_weight=weight)
        config = TrainConfig(steps=20, lr=0.005, batch_size=6)
        unlearn(model, AllWeights(model), method, DATA, config, seed=0)
        return retain_term(kind, model, original)

    assert moved(10.0) < 0.7 * moved(0.0)


def test_kl_in_half_precision_is_computed_in_float32() -> None:
    wanted, found = torch.randn(2, 5, 30, generator=torch.Generator().manual_seed(0))
    exact = mean_kl(found.bfloat16().double(), wanted.bfloat16().double())
    rough = mean_kl(found.bfloat16(), wanted.bfloat16())
    assert rough.dtype == torch.float32
    assert rough.item() == pytest.approx(exact.item(), rel=1e-5)


def test_asking_the_original_leaves_the_model_as_it_was() -> None:
    model = tiny_model()
    before = state(model)
    method, config = prepared("undial", retain="kl", retain_weight=1.0), TrainConfig(steps=3, lr=0)
    unlearn(model, RegionWeights(model, tiny_region(model)), method, DATA, config, seed=0)
    assert changed(before, model) == set()
