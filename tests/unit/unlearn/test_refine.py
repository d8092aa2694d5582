"""Refinement: who is switched off, and what happens once nobody is left."""

from typing import Any

import pytest
import torch
from support.tiny import AllWeights, changed, state, tiny_model
from support.unlearning import DATA, FORGET, objective

from lacuna.train import TrainConfig, language_loss, train
from lacuna.unlearn import WRAPPERS, unlearn
from lacuna.unlearn.wrappers.base import Start
from lacuna.unlearn.wrappers.reweight import DrawnBatches


def ready(model: Any, below: float, batch_size: int = 2) -> Any:
    made = WRAPPERS["refine"](WRAPPERS["refine"].Config(below=below))
    config = TrainConfig(steps=4, batch_size=batch_size)
    made.seen = made.data(Start(model, AllWeights(model), DATA, 0, config))  # type: ignore[attr-defined]
    return made


def taught(texts: list) -> Any:
    model = tiny_model()
    loss = language_loss(model, texts, len(texts), seed=0)
    train(model, AllWeights(model), loss, TrainConfig(steps=60, lr=0.02))
    return model


def test_strengths_are_those_of_extraction() -> None:
    model = taught(FORGET[:2])
    found = ready(model, 0.5)._strengths()
    for text, strength in zip(FORGET, found.tolist(), strict=True):
        said = model(input_ids=torch.tensor([text.ids])).logits[0].argmax(-1)
        body = range(3, len(text.ids) - 1)  # without the token that closes it
        right = [int(said[t - 1]) == text.ids[t] for t in body]
        wrong = max((k + 1 for k, ok in enumerate(right) if not ok), default=0)
        assert strength == pytest.approx(1 - wrong / len(right))
    assert found[:2].tolist() == [1, 1] and found[2:].max() < 1


def test_a_text_below_is_never_read_and_the_others_fill_the_epoch() -> None:
    wrapper = ready(taught(FORGET[:2]), 0.9)
    assert wrapper.live == [1.0, 1.0, 0.0, 0.0] and wrapper.seen.draws is wrapper.live
    batches = DrawnBatches(FORGET, 2, 0, wrapper.live)
    assert {i for step in range(8) for i in batches[step].index_B.tolist()} == {0, 1}


def test_texts_come_back_in_the_next_epoch() -> None:
    model = taught(FORGET[:2])
    wrapper = ready(model, 0.9)
    batches = DrawnBatches(FORGET, 2, 0, wrapper.live)
    assert {i for step in range(2) for i in batches[step].index_B.tolist()} == {0, 1}
    loss = language_loss(model, FORGET, 4, seed=0)
    train(model, AllWeights(model), loss, TrainConfig(steps=60, lr=0.02))
    wrapper.after_step(AllWeights(model), 1, 4)  # within an epoch nothing changes
    assert wrapper.live == [1.0, 1.0, 0.0, 0.0]
    wrapper.after_step(AllWeights(model), 2, 4)
    assert wrapper.live == [1.0] * 4
    assert {i for step in (2, 3) for i in batches[step].index_B.tolist()} == {0, 1, 2, 3}


def test_once_nobody_is_left_the_forget_term_is_still() -> None:
    """An untrained model tells nothing: all are off from the start, and ascent never steps."""
    model = tiny_model()
    before = state(model)
    wrapper = WRAPPERS["refine"](WRAPPERS["refine"].Config(below=1.0))
    config = TrainConfig(steps=3, batch_size=2, lr=0.1)
    method = objective("ga", retain_weight=0.0)
    unlearn(model, AllWeights(model), method, DATA, config, 0, wrappers=[wrapper])
    assert changed(before, model) == set()


def test_unlearning_ends_earlier_than_without() -> None:
    lost = []
    for wrapped in (False, True):
        model = taught(FORGET)
        wrapper = WRAPPERS["refine"](WRAPPERS["refine"].Config(below=0.9))
        config = TrainConfig(steps=30, batch_size=4, lr=0.005)
        around = [wrapper] if wrapped else []
        method = objective("ga", retain_weight=0.0)
        seen: list[float] = unlearn(
            model, AllWeights(model), method, DATA, config, 0, wrappers=around
        ).losses
        lost.append(seen[-1])
    assert lost[0] < 2 * lost[1] < 0
