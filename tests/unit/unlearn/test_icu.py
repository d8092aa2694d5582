"""Contrastive unlearning: whose twin is whose, and its parts."""

from typing import Any

import pytest
import torch
from support.tiny import AllWeights, changed, state, tiny_model, whole_batch
from support.unlearning import DATA, FORGET, RETAIN, objective

from lacuna.data.tokens import IGNORE, Encoded
from lacuna.model import answers
from lacuna.train import TrainConfig, mean_nll
from lacuna.unlearn import Step, UnlearnData, unlearn
from lacuna.unlearn.base import Frozen, Reference


def paired(data: UnlearnData, **options: Any) -> Any:
    model, method = tiny_model(), objective("icu", **options)
    with method.trained(model, AllWeights(model), data, 0):
        return method


def test_a_twin_is_found_whatever_its_length_and_place() -> None:
    twins = [Encoded([*t.ids, 7], [*t.labels, IGNORE]) for t in FORGET]
    data = UnlearnData(FORGET, [*RETAIN, *reversed(twins)])
    assert paired(data).neighbours == twins


def test_its_terms_add_up_and_the_twins_pull_the_other_way() -> None:
    model, original = tiny_model(dtype=torch.float64), tiny_model(dtype=torch.float64, seed=5)
    method = objective("icu", learn=0.7, hold=0.3)
    with method.trained(original, AllWeights(original), DATA, 0):
        pass
    frozen = Frozen(lambda ask: ask(original).detach())
    batch, twins = whole_batch(FORGET), whole_batch(method.neighbours)  # type: ignore[attr-defined]
    step = Step(model, batch, None, None, Reference(torch.zeros(4)), frozen)
    said, before = answers(model, twins), answers(original, twins)
    p = before.logits_NV.log_softmax(-1)
    kl = (p.exp() * (p - said.logits_NV.log_softmax(-1))).sum(-1).mean()
    expected = -mean_nll(answers(model, batch)) + 0.7 * mean_nll(said) + 0.3 * kl
    assert method.loss(step).value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_without_its_twins_it_is_gradient_ascent() -> None:
    found = []
    for method in (objective("icu", learn=0.0, hold=0.0), objective("ga")):
        model = tiny_model()
        config = TrainConfig(steps=3, lr=0.02, batch_size=2)
        found.append(model)
        unlearn(model, AllWeights(model), method, DATA, config, 0)
    assert changed(state(found[0]), found[1]) == set()
