"""The decoding filter: perfect at the output, nothing in the weights, back when it is off."""

from functools import cache

import numpy as np
import pytest
import torch
from support.people import people, untrained
from support.tiny import changed, state

from lacuna.data.tokens import encode_examples
from lacuna.errors import UserError
from lacuna.evaluate.generate import generate
from lacuna.evaluate.metrics import extraction_strength
from lacuna.evaluate.token_pass import read
from lacuna.guard import GUARDS, Decode, Guard, guarded_answers, guarded_strength
from lacuna.model import LoadedModel
from lacuna.seeds import torch_generator
from lacuna.train import AllWeights, TrainConfig, language_loss, train

FORGET, RETAIN = people("Ada", 4), people("Bob", 4)


@cache
def taught() -> LoadedModel:
    """A model that knows both groups by heart."""
    loaded = untrained([*FORGET, *RETAIN], layers=2)
    texts = encode_examples(loaded.tokenizer, loaded.prompt, [*FORGET, *RETAIN])
    loss = language_loss(loaded.model, texts, 8, seed=0)
    train(loaded.model, AllWeights(loaded.model), loss, TrainConfig(steps=120, lr=5e-3))
    return loaded


def guard(threshold: float) -> Guard:
    return GUARDS["decode"](Decode.Config(threshold=threshold), taught(), FORGET)


def test_the_output_has_forgotten_and_the_weights_have_not() -> None:
    loaded, before = taught(), state(taught().model)
    texts = encode_examples(loaded.tokenizer, loaded.prompt, FORGET)
    open_ = extraction_strength(read(loaded.model, texts, end_token=loaded.end_token))
    assert open_.mean() > 0.9
    watched = guard(0.999)
    assert guarded_strength(watched, texts).max() < 1
    said = guarded_answers(watched, FORGET, new_tokens=12)
    assert not any(fact.answer in text for fact, text in zip(FORGET, said, strict=True))
    assert changed(before, loaded.model) == set()
    again = extraction_strength(read(loaded.model, texts, end_token=loaded.end_token))
    assert np.array_equal(again, open_)  # facts are back as soon as it is off


def test_a_guard_that_never_acts_changes_nothing() -> None:
    loaded, idle = taught(), guard(1.1)
    texts = encode_examples(loaded.tokenizer, loaded.prompt, FORGET)
    expected = extraction_strength(read(loaded.model, texts, end_token=loaded.end_token))
    np.testing.assert_allclose(guarded_strength(idle, texts), expected)
    assert guarded_answers(idle, FORGET, new_tokens=12) == generate(loaded, FORGET, new_tokens=12)


def test_other_people_are_answered_as_before() -> None:
    loaded = taught()
    texts = encode_examples(loaded.tokenizer, loaded.prompt, RETAIN)
    expected = extraction_strength(read(loaded.model, texts, end_token=loaded.end_token))
    np.testing.assert_allclose(guarded_strength(guard(0.999), texts), expected)


@pytest.mark.parametrize("seed", range(8))
def test_a_value_can_never_be_told_whatever_the_model_wants(seed: int) -> None:
    """Logits push towards the value in random ways: whole tokens, parts, letters, other case."""
    loaded, watched = taught(), guard(-1.0)
    generator, fact = torch_generator(seed), FORGET[seed % len(FORGET)]
    head = loaded.prompt.head(loaded.tokenizer, fact.question)
    allowed = watched.filter(head)
    assert allowed is not None
    wanted = [
        i
        for i, text in enumerate(watched.spelled)
        if text.strip() and text.strip() in fact.answer.lower()
    ]  # type: ignore[attr-defined]
    said: list[int] = []
    for _ in range(60):
        logits_V = torch.randn(len(watched.spelled), generator=generator)  # type: ignore[attr-defined]
        logits_V[wanted] += 6
        said.append(int(allowed(said, logits_V).argmax()))
        assert fact.answer.lower() not in loaded.tokenizer.decode(said).lower()


def test_what_a_guard_lacks_is_named() -> None:
    with pytest.raises(UserError, match="threshold=-2.0: must be -1 or more"):
        Decode.Config(threshold=-2.0)
    with pytest.raises(UserError, match="needs the facts that it guards"):
        GUARDS["decode"](Decode.Config(), taught(), [])
    with pytest.raises(UserError, match="unknown guard 'decod': did you mean 'decode'"):
        GUARDS["decod"]
