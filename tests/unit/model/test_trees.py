"""Texts laid out as trees: what is read of them is what is read of each text alone."""

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
import torch
from support import families
from support.tiny import tiny_model
from transformers import PreTrainedModel

from lacuna.data.tokens import IGNORE, Encoded
from lacuna.data.trees import Following, Trees
from lacuna.evaluate import TokenTable, read
from lacuna.evaluate.token_pass import read_trees
from lacuna.model.load import ready
from lacuna.model.trees import laid_out


def texts(*answers: tuple[tuple[int, ...], tuple[int, ...]]) -> list[Encoded]:
    """(prompt, answer) pairs."""
    return [Encoded([*p, *a], [IGNORE] * len(p) + list(a)) for p, a in answers]


PROMPT, OTHER = (5, 6, 7, 8), (5, 6, 9)
SHARING = texts(
    (PROMPT, (10, 11, 1)),
    (OTHER, (10, 11, 1)),
    (PROMPT, (10, 12, 13, 14, 1)),
    (PROMPT, (15, 1)),
    (PROMPT, (10, 11, 1)),
    (PROMPT, (10, 11, 16, 1)),
    ((3,), (1,)),
)
"""Four answers of one prompt, of which three begin alike and one is there twice; and others."""


def test_a_token_sees_those_in_front_of_it_in_its_own_text() -> None:
    trees = Trees(SHARING, 4096)
    plain, branching = trees.batches
    assert not plain.branching and len(plain.ids_RT) == 2
    (row,) = branching.ids_RT.tolist()
    assert row == [5, 6, 7, 8, 10, 11, 16, 12, 13, 14, 15], "the last of a text predicts nothing"
    assert branching.depth_RT.tolist() == [[0, 1, 2, 3, 4, 5, 6, 5, 6, 7, 4]]
    seen = [branching.ids_RT[0][line].tolist() for line in branching.sees_RTT[0]]
    assert seen[6] == [5, 6, 7, 8, 10, 11, 16]
    assert seen[9] == [5, 6, 7, 8, 10, 12, 13, 14]
    assert seen[10] == [5, 6, 7, 8, 15]


@pytest.mark.parametrize("family", families.FAMILIES, ids=lambda family: family.kind)
def test_every_family_reads_trees_as_texts(family: families.Family) -> None:
    model = ready(families.make(family), "cpu")
    trees = laid_out(model, Trees(SHARING, 4096))
    found = read_trees(model, trees, 1, spread=True).table
    alone = read_trees(model, Trees(SHARING, 4096, share=False), 1, spread=True).table
    assert any(batch.branching for batch in trees.batches)
    for column in fields(TokenTable):
        ours, theirs = (getattr(table, column.name) for table in (found, alone))
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("max_tokens", [1, 12, 4096])
def test_batches_and_kernels_change_nothing(attention: str, max_tokens: int) -> None:
    model = tiny_model()
    model.set_attn_implementation(attention)
    found = read(model, SHARING, end_token=1, max_tokens=max_tokens)
    alone = [read(model, [text], end_token=1) for text in SHARING]
    np.testing.assert_allclose(found.nll, np.concatenate([t.nll for t in alone]), rtol=2e-5)
    assert found.greedy.tolist() == [hit for table in alone for hit in table.greedy]
    assert found.offsets.tolist() == [0, 3, 6, 11, 13, 16, 20, 21]


def distances_count() -> PreTrainedModel:
    """A model to which a token's place in its row is all (ALiBi)."""
    (falcon,) = (family for family in families.FAMILIES if family.kind == "falcon")
    return ready(families.make(falcon, alibi=True), "cpu")


@pytest.mark.parametrize(
    "make",
    [distances_count, lambda: tiny_model("olmo3", sliding_window=4)],
    ids=["alibi", "window"],
)
def test_models_that_cannot_read_trees_read_texts(make: Callable[[], PreTrainedModel]) -> None:
    model = make()
    assert laid_out(model, Trees(SHARING, 4096)).extremes == []
    np.testing.assert_allclose(
        read(model, SHARING, end_token=1).nll,
        np.concatenate([read(model, [text], end_token=1).nll for text in SHARING]),
        rtol=2e-5,
    )


def test_a_little_in_common_is_not_worth_a_row() -> None:
    """Plain texts that begin with the same token."""
    long = texts(*(((2,), tuple(range(3 + k, 20 + k))) for k in range(6)))
    assert not any(batch.branching for batch in Trees(long, 4096).batches)


def test_what_the_model_would_say_is_followed_along_the_texts() -> None:
    model = tiny_model()
    trees = Trees(SHARING, 4096)
    said, following = read_trees(model, trees, 1).said, Following.of(trees)
    (node,) = following.find(PROMPT)
    logits = model(input_ids=torch.tensor([PROMPT])).logits[0, -1]
    assert said[node] == int(logits.argmax())
    (further,) = following.step(following.step([node], 10), 12)
    logits = model(input_ids=torch.tensor([[*PROMPT, 10, 12]])).logits[0, -1]
    assert said[further] == int(logits.argmax())
    assert following.find((5, 6, 99)) == [] == following.find(())
