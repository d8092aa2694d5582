"""Regions of single weights: the best of all, whatever the matrix."""

import pytest
import torch
from support.tiny import tiny_model, tiny_texts

from lacuna.errors import UserError
from lacuna.localize import LOCALIZERS, Evidence, localize, localize_weights
from lacuna.localize.single_weights import top_weights


def evidence() -> Evidence:
    return Evidence(tiny_model(), tiny_texts(4, 1), tiny_texts(4, 2), seed=3)


def made(name: str) -> list[tuple[str, object]]:
    return [(name, LOCALIZERS[name](LOCALIZERS[name].Config()))]


def test_the_best_weights_of_all_matrices_are_chosen_and_ties_fall_to_the_first() -> None:
    scores = {"a": torch.tensor([[5.0, 1.0], [2.0, 2.0]]), "b": torch.tensor([[2.0, 4.0]])}
    chosen = top_weights(scores, 0.5)
    assert chosen["a"].tolist() == [True, False, True, False]
    assert chosen["b"].tolist() == [False, True]
    assert sum(int(part.sum()) for part in top_weights(scores, 1.0).values()) == 6


@pytest.mark.parametrize("share", [0.0, 0.01, 1.2])
def test_shares_that_choose_nothing_or_too_much_are_refused(share: float) -> None:
    with pytest.raises(UserError, match=f"region.ratio={share}: must select at least one"):
        top_weights({"a": torch.ones(2, 3)}, share)


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(UserError, match="not finite"):
        top_weights({"a": torch.tensor([1.0, torch.nan])}, 0.5)


def test_wagle_ranks_vectors_by_the_mean_score_of_their_weights() -> None:
    seen, (pair,) = evidence(), made("wagle")
    weights, vectors = pair[1].weight_scores(seen), pair[1].scores(seen)
    for name, score in weights.items():
        torch.testing.assert_close(score.mean(dim=0), vectors[name])
    region = localize_weights(seen, [pair], 0.25)["wagle"]
    limit = min(weights[n.removesuffix(".weight")][region.mask(n)].min() for n in region.shapes)
    beyond = max(weights[n.removesuffix(".weight")][~region.mask(n)].max() for n in region.shapes)
    assert len(region) == 2 * 16 * 24 // 4 and limit >= beyond


def test_random_weights_depend_on_the_seed_and_hit_every_matrix() -> None:
    first, again = (localize_weights(evidence(), made("random"), 0.5)["random"] for _ in "ab")
    assert len(first & again) == len(first) == 16 * 24
    assert min(first.by_tensor().values()) > 100
    other = Evidence(tiny_model(), (), (), seed=4)
    assert len(first & localize_weights(other, made("random"), 0.5)["random"]) < 0.7 * len(first)


def test_a_localizer_of_vectors_is_refused_by_name() -> None:
    assert localize(evidence(), made("norm"), 3)
    with pytest.raises(UserError, match="'norm' scores whole value vectors"):
        localize_weights(evidence(), made("norm"), 0.5)


def test_further_random_weights_keep_clear_of_those_before() -> None:
    first, second = (
        localize_weights(evidence(), made("random"), 0.3, number)["random"] for number in (1, 2)
    )
    assert len(first) == len(second) == round(0.3 * first.total)
    alone = localize_weights(evidence(), made("random"), 0.3)["random"]
    assert len(first & alone) == len(first) and len(first & second) == 0
    with pytest.raises(UserError, match="regions=4: 3 random regions of this size fit beside"):
        localize_weights(evidence(), made("random"), 0.3, 4)
