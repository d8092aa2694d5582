"""Membership attacks: areas by hand, gradients that leave no trace, holes and empty answers."""

import zlib

import numpy as np
import pytest
import torch
from support.tiny import state, tiny_model, tiny_texts
from transformers import PreTrainedModel

from lacuna.data.tokens import IGNORE, Encoded
from lacuna.evaluate import read
from lacuna.evaluate.inspections.membership import (
    auc,
    body_labels,
    gradient_norms,
    privleak,
    relative_difference,
    table_scores,
    zlib_score,
)
from lacuna.inject import learn
from lacuna.train import TrainConfig

END = 1


@pytest.mark.parametrize(
    ("members", "nonmembers", "area"),
    [
        ([1.0, 2.0], [3.0, 4.0], 1.0),
        ([3.0, 4.0], [1.0, 2.0], 0.0),
        ([1.0, 3.0], [2.0], 0.5),
        ([1.0, 1.0], [1.0, 1.0, 1.0], 0.5),
        ([1.0, 2.0, 3.0], [2.0, 4.0], 0.75),  # (1.5 + 3) wins of 6
        ([1.0, np.nan], [2.0, np.nan], 1.0),
        ([-np.inf, 0.0], [np.inf], 1.0),
    ],
)
def test_the_area_counts_wins_of_non_members(
    members: list[float], nonmembers: list[float], area: float
) -> None:
    assert auc(members, nonmembers) == area


def test_an_area_without_one_side_is_undefined() -> None:
    assert np.isnan(auc([], [1.0])) and np.isnan(auc([1.0], [np.nan]))


def test_the_area_is_the_share_of_pairs_and_turns_around_with_the_score() -> None:
    generator = np.random.default_rng(0)
    low, high = generator.integers(0, 9, 40), generator.integers(2, 11, 30)
    wins = (high[:, None] > low).mean() + 0.5 * (high[:, None] == low).mean()
    assert auc(low, high) == pytest.approx(wins)
    assert auc(-low, -high) == pytest.approx(1 - wins)


def test_privleak_is_zero_at_the_retained_model_and_negative_where_facts_are_left() -> None:
    assert privleak(0.5, 0.5) == 0
    assert privleak(1.0, 0.5) == pytest.approx(-100)
    assert privleak(0.2, 0.5) == pytest.approx(60)
    assert relative_difference(0.3, 0.4) == pytest.approx(-25)
    assert np.isnan(privleak(0.9, 1.0))


def test_zlib_divides_by_compressed_bytes_of_utf8() -> None:
    text = "Zoë " * 40
    size = len(zlib.compress(text.encode("utf-8")))
    np.testing.assert_allclose(zlib_score(np.array([2.0, np.nan]), [text, "a"]), [2 / size, np.nan])
    assert zlib_score(np.array([2.0, 2.0]), ["ab" * 40, "kq7v0zt2" * 10])[0] > 2 / 80


def by_hand(model: PreTrainedModel, text: Encoded, order: float) -> float:
    """Backward through the full logits, one text."""
    model.requires_grad_(True)
    logits_TV = model(input_ids=torch.tensor([text.ids])).logits[0]
    places = [t for t, label in enumerate(text.labels) if t and label not in (IGNORE, END)]
    logp = logits_TV.log_softmax(-1)
    loss = -torch.stack([logp[t - 1, text.labels[t]] for t in places]).mean()
    loss.backward()
    norms = [w.grad.norm(order).item() for w in model.parameters() if w.grad is not None]
    model.requires_grad_(False)
    model.zero_grad()
    return float(np.mean(norms))


@pytest.mark.parametrize("order", [1, 2])
def test_gradient_norms_are_those_of_a_plain_backward_pass_one_by_one(order: float) -> None:
    model, texts = tiny_model(), tiny_texts(4)
    holed = [x if t != 5 else IGNORE for t, x in enumerate(texts[1].labels)]
    texts[1] = Encoded(texts[1].ids, holed)
    found = gradient_norms(model, texts, end_token=END, order=order)
    expected = [by_hand(model, text, order) for text in texts]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    alone = [gradient_norms(model, [t], end_token=END, order=order)[0] for t in texts]
    assert found.tolist() == alone


def test_gradient_norms_leave_no_gradient_and_no_change_behind() -> None:
    model, texts = tiny_model(), tiny_texts(2)
    one = next(model.parameters())
    one.requires_grad_(True)
    before = state(model)
    gradient_norms(model, texts, end_token=END)
    assert all(weight.grad is None for weight in model.parameters())
    assert [w.requires_grad for w in model.parameters()].count(True) == 1 and one.requires_grad
    assert not model.training
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def test_gradients_are_there_even_where_the_caller_turned_them_off() -> None:
    model, texts = tiny_model(), tiny_texts(1)
    with torch.no_grad():
        inside = gradient_norms(model, texts, end_token=END)
    assert inside.tolist() == gradient_norms(model, texts, end_token=END).tolist()


def test_an_answer_that_is_only_an_end_has_no_gradient_norm() -> None:
    model = tiny_model()
    texts = [Encoded([5, 6, 1], [IGNORE, IGNORE, 1]), Encoded([5, 6], [IGNORE, IGNORE])]
    assert np.isnan(gradient_norms(model, texts, end_token=END)).all()


def test_only_the_end_that_closes_an_item_is_left_out() -> None:
    closed = Encoded([5, 1, 6, 1], [IGNORE, 1, 6, 1])
    assert body_labels(closed, END).labels == [IGNORE, 1, 6, IGNORE]
    trailing = Encoded([5, 6, 1, 7], [IGNORE, 6, 1, IGNORE])
    assert body_labels(trailing, END).labels == [IGNORE, 6, IGNORE, IGNORE]
    for text, end in ((Encoded([5, 6], [IGNORE, 6]), END), (closed, None)):
        assert body_labels(text, end) == text


def test_every_attack_tells_learned_texts_from_others_and_a_fresh_model_does_not() -> None:
    model, fresh = tiny_model(seed=3), tiny_model(seed=3)
    texts = tiny_texts(24, seed=5, answer=(4, 5))
    members, others = texts[:12], texts[12:]
    learn(model, members, TrainConfig(steps=40, lr=0.01, batch_size=12), seed=0)
    said = ["x" * len(text.ids) for text in members]

    def areas(asked: PreTrainedModel) -> dict[str, float]:
        sides = []
        for side in (members, others):
            scores = table_scores(read(asked, side, end_token=END), said)
            scores["gradnorm"] = gradient_norms(asked, side, end_token=END)
            sides.append(scores)
        return {name: auc(sides[0][name], sides[1][name]) for name in sides[0]}

    learned, blank = areas(model), areas(fresh)
    assert all(area > 0.9 for area in learned.values()), learned
    assert all(0.2 < area < 0.8 for area in blank.values()), blank
