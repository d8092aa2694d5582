"""Change scores by hand, and updates that know nothing."""

import pytest
import torch
from torch import Tensor

from lacuna.audit.nulls import NOISE, OBSERVED, RANDOM, updates
from lacuna.audit.scores import HEADLINE, SCORES, Change, computable
from lacuna.errors import UserError
from lacuna.seeds import torch_generator

BEFORE = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
AFTER = torch.tensor([[0.5, -2.0], [1.5, 2.0]])  # d: -.5 0 1 -1
BASE = torch.tensor([[0.0, -1.0], [0.5, 5.0]])  # j: 1 -1 0 -2
CONTROL = torch.tensor([[0.25, -0.25], [0.0, -2.0]])
CHANGE = Change(BEFORE, AFTER, BASE, CONTROL, {"d": 0.5, "contrast": 2.0})

BY_HAND = {
    "raw": [0.5, 0, 1, 1],
    "qtile": [1 / 3, 0, 2.5 / 3, 2.5 / 3],
    "layernorm": [1, 0, 2, 2],
    "compnorm": [0.8, 0, 1.6, 1.6],
    "contrast": [0.25, -0.25, 1, -1],
    "contrastnorm": [1 / 3, -1, 1, -1 / 3],
    "contrastln": [0.125, -0.125, 0.5, -0.5],
    "eratio": [2, 0, 1e10, 0.5],
    "signrev": [0.5, 0, 0, -2],
    "reversal": [0.5, 0, -1e10, -0.5],
    "dirreversal": [0.5, 0, 0, -0.5],
}


def test_every_score_has_a_value_by_hand() -> None:
    assert set(BY_HAND) == set(SCORES) and HEADLINE == "raw"


@pytest.mark.parametrize("name", BY_HAND)
def test_the_score_is_its_formula(name: str) -> None:
    found = SCORES[name].compute(CHANGE)
    assert found.shape == BEFORE.shape
    assert found.reshape(-1).tolist() == pytest.approx(BY_HAND[name], rel=1e-5)


@pytest.mark.parametrize("name", BY_HAND)
def test_where_nothing_moved_every_score_is_finite(name: str) -> None:
    still = Change(BEFORE, BEFORE, BEFORE, torch.zeros(2, 2), {"d": 0.0, "contrast": 0.0})
    assert torch.isfinite(SCORES[name].compute(still)).all()


def test_scores_are_named_by_what_they_need() -> None:
    assert computable(frozenset()) == ["raw", "qtile", "layernorm"]
    assert "signrev" in computable(frozenset({"base"}))
    assert "eratio" not in computable(frozenset({"base"}))
    assert len(computable(frozenset({"base", "control"}))) == len(SCORES)
    with pytest.raises(UserError, match="unknown change score 'rew': did you mean 'raw'"):
        SCORES["rew"]


def made(stored: torch.dtype = torch.float32, seed: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    generator = torch_generator(0, "nulls")
    before = (torch.randn(300, 200, generator=generator) * 0.02).to(stored).float()
    moved = torch.rand(300, 200, generator=generator) < 0.1
    after = (before + 1e-3 * moved * torch.randn(300, 200, generator=generator)).to(stored).float()
    return before, dict(updates(before, after, stored, seed, "w"))


def test_nulls_have_the_updates_budget_and_not_its_place() -> None:
    before, found = made()
    size = {kind: (after - before).double() for kind, after in found.items()}
    assert list(found) == [OBSERVED, NOISE, RANDOM]
    wanted = size[OBSERVED].square().mean().sqrt()
    for kind in (NOISE, RANDOM):
        assert float(size[kind].square().mean().sqrt() / wanted) == pytest.approx(1, abs=0.02)
    still = {kind: float((change == 0).double().mean()) for kind, change in size.items()}
    assert still[RANDOM] == pytest.approx(still[OBSERVED], abs=1e-3) and still[NOISE] == 0
    both = (size[OBSERVED] != 0) & (size[RANDOM] != 0)
    assert float(both.double().mean()) == pytest.approx((1 - still[OBSERVED]) ** 2, abs=2e-3)


def test_nulls_are_rounded_like_the_checkpoint_and_drawn_by_the_seed() -> None:
    for kind, after in made(torch.bfloat16)[1].items():
        assert torch.equal(after, after.bfloat16().float()), kind
    again, other = made()[1], made(seed=1)[1]
    for kind, after in made()[1].items():
        assert torch.equal(after, again[kind])
        assert torch.equal(after, other[kind]) == (kind == OBSERVED)
