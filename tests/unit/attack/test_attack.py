"""Attacks report what comes back and leave the model as it was."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny import changed, state, tiny_model, tiny_texts
from torch import nn

from lacuna.attack import (
    AttackConfig,
    AttackInputs,
    Facts,
    Level,
    Outcome,
    attack,
    recall,
    split_people,
)
from lacuna.attack.attacks.benign import Benign
from lacuna.attack.attacks.integers import Integers, rounded
from lacuna.attack.attacks.relearn import Relearn
from lacuna.attack.training import FullTraining, TrainedConfig
from lacuna.data.base import Example
from lacuna.errors import UserError
from lacuna.evaluate import metrics, read
from lacuna.inject import learn
from lacuna.train import Diverged, TrainConfig, language_loss

TEXTS, RETAIN = tiny_texts(8, seed=1), tiny_texts(6, seed=2)
EXAMPLES = [
    Example(id=str(i), question="q", answer="a", person=f"person {i // 2}", field="f")
    for i in range(8)
]
FACTS = Facts(attacked=TEXTS[:4], others=TEXTS[4:], end_token=1)
TRAIN = TrainConfig(steps=12, batch_size=4, schedule="constant")


def trained(
    attack: type[FullTraining], model: Any, train: TrainConfig, lr: float, seed: int
) -> Outcome:
    config = TrainedConfig(train=train, lrs=(lr,))
    (found,) = attack(config).run(AttackInputs(model, FACTS, RETAIN, seed))
    return found


def quantized(model: Any, bits: int) -> Outcome:
    (found,) = Integers(Integers.Config(bits=(bits,))).run(AttackInputs(model, FACTS, RETAIN, 0))
    return found


either_type = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


@pytest.mark.parametrize(("share", "count"), [(0.01, 1), (0.5, 2), (0.75, 3), (0.99, 3)])
def test_people_are_attacked_or_measured_and_never_both(share: float, count: int) -> None:
    seen = set()
    for seed in range(12):
        facts = split_people(EXAMPLES, TEXTS, share, seed, end=1)
        whose = {id(text): item.person for text, item in zip(TEXTS, EXAMPLES, strict=True)}
        attacked = {whose[id(text)] for text in facts.attacked}
        others = {whose[id(text)] for text in facts.others}
        assert len(attacked) == count and not attacked & others
        assert len(facts.attacked) == 2 * count
        assert {id(text) for text in facts.all} == {id(text) for text in TEXTS}
        seen.add(frozenset(attacked))
    assert len(seen) > 1, "the seed decides who is attacked"
    again = [split_people(EXAMPLES, TEXTS, share, 5, end=1).attacked for _ in range(2)]
    assert again[0] == again[1]


def test_one_person_cannot_be_split() -> None:
    with pytest.raises(UserError, match="at least 2 forgotten people"):
        split_people(EXAMPLES[:2], TEXTS[:2], 0.5, 0, end=1)
    for share in (0.0, 1.0):
        with pytest.raises(UserError, match=f"attack.share={share}"):
            AttackConfig(share=share)


def test_recall_is_the_mean_over_questions() -> None:
    model = tiny_model()
    strength, logp = recall(model, TEXTS, 1)
    table = read(model, TEXTS, end_token=1)
    assert strength == pytest.approx(metrics.extraction_strength(table).mean())
    assert logp == pytest.approx(metrics.mean_logp(table).mean())
    assert logp != pytest.approx(-table.nll.mean(), rel=1e-3), "not the mean over tokens"


@either_type
def test_every_attack_leaves_every_weight_bit_identical(dtype: torch.dtype) -> None:
    model = tiny_model(dtype=dtype)
    before = state(model)
    config = AttackConfig(
        train=replace(TRAIN, weight_decay=0.1),
        relearn_lrs=(0.01, 0.02),
        benign_lrs=(0.01,),
        bits=(8, 4, 2),
    )
    found = attack(model, FACTS, RETAIN, config, seed=0)
    assert changed(before, model) == set()
    assert not any(weight.requires_grad for weight in model.parameters())
    assert [(o.attack, o.lr) for o in found] == [
        ("relearn", 0.01),
        ("relearn", 0.02),
        ("benign", 0.01),
        ("int8", None),
        ("int4", None),
        ("int2", None),
    ]
    assert all(np.isfinite(o.others_logp_after) for o in found)
    starts = {o.others_logp_before for o in found if o.attack == "relearn"}
    assert starts == {recall(model, FACTS.others, 1)[1]}
    assert len({o.others_logp_after for o in found}) == 6


def test_an_attack_that_diverges_still_puts_the_weights_back() -> None:
    model = tiny_model()
    before = state(model)
    with pytest.raises(Diverged):
        trained(Relearn, model, replace(TRAIN, clip=0), lr=1e30, seed=0)
    assert changed(before, model) == set()


def test_no_attack_is_made_where_none_is_listed() -> None:
    quiet = AttackConfig(relearn_lrs=(), benign_lrs=(), bits=())
    assert attack(tiny_model(), FACTS, RETAIN, quiet, seed=0) == []


@pytest.fixture
def trained_on(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The texts that attacks train on, one entry for each training."""
    seen: list[Any] = []
    plain = language_loss

    def noting(model: Any, texts: Any, *rest: Any) -> Any:
        seen.append(list(texts))
        return plain(model, texts, *rest)

    monkeypatch.setattr(sys.modules["lacuna.attack.training"], "language_loss", noting)
    return seen


def test_attackers_train_on_what_they_know_and_nothing_else(trained_on: list[Any]) -> None:
    model = tiny_model()
    known = trained(Relearn, model, TRAIN, lr=0.02, seed=0)
    later = trained(Benign, model, TRAIN, lr=0.02, seed=0)
    assert trained_on == [TEXTS[:4], RETAIN]
    assert (known.n_attacked, known.n_others) == (4, 4)
    assert (later.n_attacked, later.n_others) == (0, 8)
    assert later.attacked_es_after is None
    assert later.others_logp_before == pytest.approx(recall(model, TEXTS, 1)[1])


def test_relearning_brings_back_exactly_what_was_trained() -> None:
    model = tiny_model()
    outcome = trained(Relearn, model, replace(TRAIN, steps=40), lr=0.02, seed=0)
    assert outcome.attacked_es_after == 1.0
    assert outcome.others_es_after < 0.5
    learned = tiny_model()
    learn(learned, TEXTS[4:], replace(TRAIN, steps=40, lr=0.02), seed=0)
    assert recall(learned, TEXTS[4:], 1)[0] == 1.0, "others could be learned, and were not"


def test_relearning_repeats_by_seed() -> None:
    small = replace(TRAIN, batch_size=2, steps=5)
    first, again, other = (
        trained(Relearn, tiny_model(), small, lr=0.02, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.others_logp_after != other.others_logp_after
    assert first.others_logp_before == other.others_logp_before


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rounding_stays_within_half_a_step_on_a_grid_of_its_row(bits: int) -> None:
    weight = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    grid, levels = rounded(weight, bits), 2 ** (bits - 1) - 1
    for row, found in zip(weight, grid, strict=True):
        scale = row.abs().max() / levels
        assert (found - row).abs().max() <= scale / 2 * (1 + 1e-4)
        steps = found / scale
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)
        assert steps.abs().max().round() == levels
        assert len(found.unique()) <= 2**bits - 1


def test_rounding_by_hand_and_its_bounds() -> None:
    weight = torch.tensor([[3.0, -1.4, 0.4, -3.0], [0.0, 0.0, 0.0, 0.0]])
    expected = torch.tensor([[3.0, -1.0, 0.0, -3.0], [0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(rounded(weight, 3), expected)
    assert rounded(weight.bfloat16(), 3).dtype == torch.bfloat16
    for bits in (1, 17):
        with pytest.raises(UserError, match=f"bits={bits}: use widths of 2 to 16"):
            rounded(weight, bits)
        with pytest.raises(UserError, match=f"bits={bits}: use widths of 2 to 16"):
            AttackConfig(bits=(8, bits))


def test_sixteen_bits_are_nearly_the_identity_and_two_are_not() -> None:
    model = tiny_model()
    learn(model, TEXTS, replace(TRAIN, steps=30, lr=0.02), seed=0)
    fine, coarse = quantized(model, 16), quantized(model, 2)
    assert fine.n_others == 8 and fine.n_attacked == 0
    assert fine.others_logp_after == pytest.approx(fine.others_logp_before, abs=2e-3)
    assert fine.others_es_after == fine.others_es_before > 0.5
    assert coarse.others_logp_after < coarse.others_logp_before - 0.5


def test_quantization_rounds_every_matrix_but_the_head_and_the_embeddings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_model()
    before, during = state(model), []

    def looking(*_: Any) -> Level:
        during.append(changed(before, model))
        return Level(0.0, 0.0, None)

    monkeypatch.setattr(sys.modules["lacuna.attack.replacing"], "level", looking)
    quantized(model, 4)
    linear = {f"{n}.weight" for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    assert during == [set(), linear - {"lm_head.weight"}]
    assert len(during[1]) == 14
    assert changed(before, model) == set()
