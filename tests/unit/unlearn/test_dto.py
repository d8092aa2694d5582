"""Token-selective unlearning: which tokens, and what becomes of the others."""

from functools import cache
from typing import Any

import pytest
import torch
from support.tiny import AllWeights, distance, state, tiny_model, whole_batch
from support.unlearning import DATA, FORGET, objective
from torch import Tensor

from lacuna.data.tokens import IGNORE, Encoded
from lacuna.model import answers
from lacuna.train import TrainConfig, language_loss, train
from lacuna.unlearn import UnlearnData, answer_token_nll, unlearn
from lacuna.unlearn.objectives.dto import delta_scores

VALUES = [
    Encoded([2 + i, 9, 10, 20 + i, 11, 1], [IGNORE] * 2 + [10, 20 + i, 11, 1]) for i in range(6)
]
"""Six questions whose answers differ in one word: `10 VALUE 11`."""


@cache
def taught() -> dict[str, Tensor]:
    model = tiny_model()
    loss = language_loss(model, VALUES, 6, seed=0)
    train(model, AllWeights(model), loss, TrainConfig(steps=40, lr=0.02))
    return state(model)


def run(steps: int = 3, data: UnlearnData = DATA, **options: Any) -> Any:
    model = tiny_model()
    if data is not DATA:
        model.load_state_dict(taught())
    config = TrainConfig(steps=steps, lr=0.01, batch_size=4)
    method = objective("dto", **options)
    unlearn(model, AllWeights(model), method, data, config, 0)
    return model, method


def test_the_word_that_depends_on_the_question_is_chosen() -> None:
    data = UnlearnData(VALUES, VALUES)
    expected = [False, True, False, False]
    assert [t.tolist() for t in run(0, data, share=0.25)[1].targets] == [expected] * 6
    half = [t.tolist() for t in run(0, data, share=0.5)[1].targets]
    assert all(chosen[1] and sum(chosen) == 2 for chosen in half)


def test_delta_is_the_mean_loss_of_likelihood_behind_other_questions() -> None:
    model = tiny_model(dtype=torch.float64)
    texts = VALUES[:5]
    found = delta_scores(model, texts, answer_token_nll(model, texts))
    for i, text in enumerate(texts):
        costs = []
        for other in texts:
            ids = torch.tensor([[*other.ids[:2], *text.ids[2:]]])
            logp = model(input_ids=ids).logits[0].log_softmax(-1)
            costs.append([-float(logp[t - 1, ids[0, t]]) for t in range(2, 6)])
        own = torch.tensor(costs.pop(i))
        expected = torch.tensor(costs).mean(dim=0) - own
        torch.testing.assert_close(found[i].float(), expected, rtol=1e-5, atol=1e-5)


def test_surprise_chooses_what_the_injected_model_finds_least_likely() -> None:
    _, method = run(0, targets="surprise", share=0.01)
    costs = answer_token_nll(tiny_model(), FORGET)
    assert [t.nonzero().item() for t in method.targets] == [c.argmax().item() for c in costs]


@pytest.mark.parametrize("forget", ["ga", "npo"])
def test_with_every_token_a_target_it_is_the_plain_objective(forget: str) -> None:
    found, expected = run(share=1.0, forget=forget)[0], tiny_model()
    config = TrainConfig(steps=3, lr=0.01, batch_size=4)
    plain = objective(forget, retain_weight=0.0)
    unlearn(expected, AllWeights(expected), plain, DATA, config, 0)
    assert distance(found, expected) < 1e-5


def test_a_heavy_hold_keeps_the_other_words_and_the_value_still_goes() -> None:
    data, batch = UnlearnData(VALUES, VALUES), whole_batch(VALUES)
    model = tiny_model()
    model.load_state_dict(taught())
    before = answers(model, batch).nll_N.view(6, 4)
    moved = {}
    for hold in (0.0, 1e3):
        after = answers(run(30, data, share=0.25, hold=hold, forget="ga")[0], batch).nll_N
        moved[hold] = (after.view(6, 4) - before).abs().mean(dim=0)
    others = [0, 2, 3]
    assert moved[1e3][others].max() < 0.05 < moved[0.0][others].max()
    assert moved[0.0][1] > 1
