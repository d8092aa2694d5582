"""LoRA, NF4, prompting, Success@k and matched starts: what each does, by hand and at limits."""

import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from support.tiny import changed, state, tiny_model, tiny_region, tiny_texts
from torch import Tensor, nn
from transformers import PreTrainedModel

from lacuna.attack import (
    AttackConfig,
    AttackInputs,
    Facts,
    LoraConfig,
    MixingPath,
    Outcome,
    Wording,
    attack,
    find_start,
    jaccard,
    recall,
)
from lacuna.attack.attacks.integers import rounded
from lacuna.attack.attacks.lora import LoraRelearn
from lacuna.attack.attacks.nf4 import BLOCK, NF4, code_book, nf4_rounded
from lacuna.data.base import Example
from lacuna.errors import UserError
from lacuna.evaluate import Asked
from lacuna.inject import learn
from lacuna.train import AllWeights, Diverged, LoraShape, RegionWeights, TrainConfig, lora

TEXTS, RETAIN = tiny_texts(8, seed=1), tiny_texts(6, seed=2)
TRAIN = TrainConfig(steps=12, batch_size=4, schedule="constant")
FACTS = Facts(attacked=TEXTS[:4], others=TEXTS[4:], end_token=1)
LORA = LoraConfig(shape=LoraShape(rank=4, alpha=8, dropout=0.1), train=TRAIN)

CODES = [
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
]  # fmt: skip
"""The published code book (Dettmers et al. 2023, appendix E)."""


def relearned(
    model: PreTrainedModel, config: LoraConfig, lr: float = 0.03, seed: int = 0
) -> Outcome:
    options = LoraRelearn.Config(lora=config, lrs=(lr,))
    (found,) = LoraRelearn(options).run(AttackInputs(model, FACTS, RETAIN, seed))
    return found


def test_the_code_book_is_the_published_one() -> None:
    torch.testing.assert_close(code_book(), torch.tensor(CODES), rtol=0, atol=2e-6)


def test_every_weight_goes_to_the_nearest_code_of_its_block() -> None:
    weight = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    found = nf4_rounded(weight)
    flat, book = weight.flatten(), torch.tensor(CODES)
    for start in range(0, len(flat), BLOCK):
        block = flat[start : start + BLOCK]
        codes = block.abs().max() * book
        nearest = codes[(block[:, None] - codes).abs().argmin(dim=1)]
        torch.testing.assert_close(found.flatten()[start : start + BLOCK], nearest)
    again = nf4_rounded(found)
    torch.testing.assert_close(again, found)
    assert torch.equal(nf4_rounded(torch.zeros(2, 3)), torch.zeros(2, 3))
    assert nf4_rounded(weight.bfloat16()).dtype == torch.bfloat16


def test_nf4_is_nearer_than_four_plain_bits_on_normal_weights() -> None:
    weight = torch.randn(32, 512, generator=torch.Generator().manual_seed(1))
    error = (nf4_rounded(weight) - weight).square().mean()
    assert error < 0.6 * (rounded(weight, 4) - weight).square().mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_attack_leaves_every_weight_bit_identical(dtype: torch.dtype) -> None:
    model = tiny_model(dtype=dtype)
    modules = [type(module) for module in model.modules()]
    before = state(model)
    config = AttackConfig(
        train=TRAIN, relearn_lrs=(), benign_lrs=(), bits=(), lora_lrs=(0.01, 0.03), lora=LORA,
        nf4=True, wordings=True,
    )  # fmt: skip
    facts = replace(FACTS, wordings={"prefix": Wording(TEXTS[:3], RETAIN[:3])})
    found = attack(model, facts, RETAIN, config, seed=0)
    assert changed(before, model) == set()
    assert modules == [type(module) for module in model.modules()]
    assert not hasattr(model, "peft_config") and not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    assert [(o.attack, o.lr, o.n_attacked, o.n_others) for o in found] == [
        ("lora", 0.01, 4, 4),
        ("lora", 0.03, 4, 4),
        ("nf4", None, 0, 8),
        ("prefix", None, 0, 3),
    ]
    assert len({o.others_logp_after for o in found}) == 4


def test_an_attack_that_diverges_takes_its_adapters_off() -> None:
    model = tiny_model()
    before = state(model)
    with pytest.raises(Diverged):
        config = replace(LORA, train=replace(TRAIN, clip=0))
        relearned(model, config, lr=1e30)
    assert changed(before, model) == set()


def test_lora_brings_back_what_it_trains_on_and_repeats_by_seed() -> None:
    model = tiny_model()
    config = replace(LORA, train=replace(TRAIN, steps=60))
    first, again, other = (relearned(model, config, seed=seed) for seed in (1, 1, 2))
    assert first.attacked_es_after == 1.0
    assert first.others_es_after < 0.5
    assert first == again
    assert first.others_logp_after != other.others_logp_after
    state_before = torch.random.get_rng_state()
    relearned(model, LORA, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state_before), "no other draw is disturbed"


def test_fresh_adapters_change_nothing_and_sit_on_all_linear_layers_but_the_head() -> None:
    model = tiny_model()
    plain = recall(model, TEXTS, 1)
    linear = [n for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    with lora(model, LoraShape(rank=2), seed=0) as weights:
        assert recall(model, TEXTS, 1) == plain
        assert len(weights.masters) == 2 * (len(linear) - 1) == 28
        shapes = {tuple(w.shape) for n, w in weights.masters.items() if "down_proj.lora" in n}
        assert shapes == {(2, 24), (16, 2)}
    with pytest.raises(UserError, match="lora rank=0"):
        LoraShape(rank=0)


def test_the_attacker_takes_the_checkpoint_of_the_best_loss_on_questions_kept_aside() -> None:
    model = tiny_model()
    best = replace(LORA, train=replace(TRAIN, steps=60, batch_size=3), eval_share=0.25)
    seen = []

    def noting(model: PreTrainedModel, texts: Sequence, end: int | None) -> tuple[float, float]:
        found = recall(model, texts, end)
        seen.append((len(texts), found[1]))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["lacuna.attack.attacks.lora"], "recall", noting)
        found = relearned(model, best)
    assert [count for count, _ in seen] == [1] * 60, "3 questions are one batch: an epoch is a step"
    kept = [logp for _, logp in seen]
    place = kept.index(max(kept))
    assert 0 < place < 59, "neither the first nor the last is the best here"
    stopped = replace(best, train=replace(best.train, steps=place + 1))
    assert relearned(model, stopped) == found


def test_epochs_count_steps_by_the_attackers_questions() -> None:
    short = relearned(tiny_model(), replace(LORA, train=replace(TRAIN, steps=4, batch_size=2)))
    epochs = replace(LORA, train=replace(TRAIN, steps=99, batch_size=2), epochs=2)
    assert relearned(tiny_model(), epochs) == short


def test_the_overlap_of_leaked_sets_is_their_jaccard_index() -> None:
    assert jaccard(("a", "b"), ("b", "c")) == pytest.approx(1 / 3)
    assert jaccard(("a",), ("a",)) == 1 and jaccard((), ("a",)) == 0
    assert jaccard((), ()) is None and jaccard(None, ("a",)) is None


def asked(name: str, count: int) -> Asked:
    item = Example(id=name, question="q", answer="a", person=name, field="f")
    return Asked(item, tuple(f"{name}{i}" for i in range(count)))


def test_leaked_sets_are_asked_of_the_measured_people_before_and_after() -> None:
    model = tiny_model()
    seen = []

    def ask(model: PreTrainedModel, facts: Sequence[Asked]) -> tuple[str, ...]:
        seen.append(([a.fact.id for a in facts], max(len(a.prompts) for a in facts)))
        return ("x", "y") if len(seen) % 2 else ("y",)

    facts = replace(
        FACTS,
        attacked_asked=[asked("w", 2)],
        others_asked=[asked(name, 5) for name in "xyz"],
        ask=ask,
    )
    config = AttackConfig(
        train=TRAIN, relearn_lrs=(0.01,), lora_lrs=(0.01,), lora=LORA, benign_lrs=(), bits=(4,),
        success_k=5,
    )  # fmt: skip
    found = attack(model, facts, RETAIN, config, seed=0)
    assert [o.attack for o in found] == ["relearn", "lora", "int4", "prompts"]
    four, three = (["w", "x", "y", "z"], 5), (["x", "y", "z"], 5)
    assert seen == [three] * 4 + [four] * 2 + [(four[0], 1), four]
    for o in found:
        assert (o.k, o.leaked_before, o.leaked_after) == (5, ("x", "y"), ("y",))
        assert o.leaked_overlap == 0.5
    assert [round(o.success_before or 0, 3) for o in found] == [0.667, 0.667, 0.5, 0.5]
    assert set(Outcome.__dataclass_fields__) == set(found[0].to_json())


def test_people_outside_the_forgotten_are_attacked_but_never_measured() -> None:
    facts = replace(FACTS, outside=True)
    assert facts.all == TEXTS[4:] and facts.spared().others == TEXTS[4:]
    (found,) = NF4(NF4.Config()).run(AttackInputs(tiny_model(), facts, RETAIN, 0))
    assert found.n_others == 4


@pytest.mark.parametrize("wanted", [0.3, 0.55, 0.8])
def test_bisection_finds_where_the_level_is_crossed(wanted: float) -> None:
    weights, ends = Line(), ({"w": torch.zeros(1)}, {"w": torch.ones(1)})

    def strength() -> float:
        return round(1 - weights.value**2, 2)

    start = find_start(strength, weights, *ends, wanted, tolerance=0.011)
    assert start is not None
    assert start.es == pytest.approx(wanted, abs=0.011)
    assert start.alpha == pytest.approx((1 - wanted) ** 0.5, abs=0.02)
    assert weights.value == 1.0, "the weights are back at the unlearned end"
    assert find_start(lambda: 0.9, weights, *ends, wanted, 0.01) is None


class Line(AllWeights):
    """One number as an editable."""

    def __init__(self) -> None:
        self.value = 1.0

    def write(self, values: dict[str, Tensor]) -> None:  # type: ignore[override]
        self.value = float(values["w"])


def test_a_matched_start_moves_the_region_only_and_is_put_back() -> None:
    model = tiny_model()
    learn(model, TEXTS, replace(TRAIN, steps=60, lr=0.02), seed=0)
    weights = RegionWeights(model, tiny_region(model, 0.9))
    start = weights.read()
    end = {name: torch.zeros_like(value) for name, value in start.items()}
    weights.write(end)
    assert recall(model, TEXTS, 1)[0] < 0.5
    before = state(model)
    config = AttackConfig(
        train=TRAIN, relearn_lrs=(0.01,), benign_lrs=(), bits=(), lora_lrs=(0.01,), lora=LORA,
        matched=(0.7, 0.9), tolerance=0.06,
    )  # fmt: skip
    found = attack(model, FACTS, RETAIN, config, 0, MixingPath(weights, start, end))
    assert changed(before, model) == set()
    assert [o.attack for o in found] == ["relearn", "lora"] * 3
    assert [o.start_level for o in found] == [None, None, 0.7, 0.7, 0.9, 0.9]
    for o in found[2:]:
        assert o.start_es == pytest.approx(o.start_level, abs=0.06)
        assert 0 < (o.start_alpha or 0) < 1 and o.start_retain_es is not None
    assert found[2].others_es_before > found[0].others_es_before
    assert found[0].start_alpha is None
    for levels in (1.0, (0.3, 1.0), (0.3, 0.3), "0.3", (True,), float("nan")):
        with pytest.raises(UserError, match="attack.matched"):
            AttackConfig(matched=levels)  # type: ignore[arg-type]
    assert AttackConfig(matched=0.4).starts == (0.4,)
    assert AttackConfig(matched=None).starts == AttackConfig(matched=()).starts == ()
    assert AttackConfig(matched=(0.6, 0.3)).starts == (0.6, 0.3)
