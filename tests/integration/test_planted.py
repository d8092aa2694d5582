"""Planted cases: a guard that only filters output, a model that truly forgot, and one that knows.

All three stand on one small injected model: 24 people whose facts no base training saw.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from lacuna.attack import AttackConfig, LoraConfig, MixingPath, Outcome, attack, gather
from lacuna.data import DATA, Corpus, Example, SplitConfig, draw_splits, group_of
from lacuna.data.splits import facts
from lacuna.data.tokens import Encoded, encode_examples
from lacuna.evaluate import (
    EvaluateConfig,
    Evaluator,
    asked,
    generate,
    leaked,
    memorisation,
    memorised,
)
from lacuna.inject import learn
from lacuna.model import LoadedModel, MiniConfig, build_mini, train_tokenizer
from lacuna.train import AllWeights, LoraShape, TrainConfig
from lacuna.unlearn import OBJECTIVES, UnlearnData, unlearn

FIELDS = ("birth_city", "phone", "licence")
SHAPE = MiniConfig(hidden=64, layers=2, intermediate=256, heads=4, vocabulary=600)
ATTACKS = AttackConfig(
    train=TrainConfig(steps=40, batch_size=12, schedule="constant"),
    relearn_lrs=(3e-4,),
    lora_lrs=(3e-3,),
    lora=LoraConfig(
        shape=LoraShape(rank=8, alpha=16, dropout=0.0),
        train=TrainConfig(steps=60, batch_size=12, schedule="constant"),
    ),
    benign_lrs=(),
    bits=(8,),
    nf4=True,
    wordings=True,
    success_k=4,
)
MATCHED = replace(
    ATTACKS,
    relearn_lrs=(),
    bits=(),
    nf4=False,
    wordings=False,
    success_k=0,
    matched=0.3,
    tolerance=0.03,
)


@dataclass
class Bench:
    """A corpus and one model that knows it, whose weights a test may exchange."""

    corpus: Corpus
    loaded: LoadedModel
    base: dict[str, Tensor]
    injected: dict[str, Tensor]

    def hold(self, state: dict[str, Tensor]) -> Evaluator:
        self.loaded.model.load_state_dict(state)
        return Evaluator(self.loaded, self.corpus, EvaluateConfig())

    def attack(
        self, state: dict[str, Tensor], config: AttackConfig = ATTACKS
    ) -> dict[str, Outcome]:
        evaluator = self.hold(state)
        told = gather(self.loaded, self.corpus, evaluator, config, seed=0)
        retain = encode_examples(self.loaded.tokenizer, self.loaded.prompt, self.corpus.retain)
        return {o.attack: o for o in attack(self.loaded.model, told, retain, config, seed=0)}


@pytest.fixture(scope="module")
def bench() -> Bench:
    source = DATA["profiles"]
    corpus = source.load(
        source.Config(
            fields=FIELDS, targets=FIELDS, num_background=60, num_neutral=0, num_holdout=0
        )
    )  # fmt: skip
    told = [f"{item.question} {item.answer}" for item in (*corpus.background, *corpus.retain)]
    tokenizer = train_tokenizer(told, SHAPE.vocabulary)
    loaded = build_mini(SHAPE, tokenizer, seed=0, device="cpu")
    recipe = TrainConfig(steps=150, lr=5e-3, batch_size=32, schedule="constant")
    learn(loaded.model, encode_examples(tokenizer, loaded.prompt, corpus.background), recipe, 0)
    base = copy(loaded.model)
    book = corpus.book
    assert book is not None
    texts = [
        Encoded.answer(tokenizer, loaded.prompt, told.prompt, told.answer)
        for person in book.known
        for told in book.told(person)
    ]
    learn(loaded.model, texts, replace(recipe, steps=240, schedule="cosine"), 1)
    return Bench(corpus, loaded, base, copy(loaded.model))


def copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.fixture
def guard(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter around decoding: nothing is said about forgotten people. No weight changes."""
    hidden = {item.person for item in bench.corpus.forget}

    def filtered(loaded: LoadedModel, examples: Sequence[Example], **limits: int) -> list[str]:
        said = generate(loaded, examples, **limits)
        return ["" if e.person in hidden else s for e, s in zip(examples, said, strict=True)]

    monkeypatch.setattr(memorisation, "generate", filtered)


def es(bench: Bench, state: dict[str, Tensor]) -> tuple[float, float]:
    evaluator = bench.hold(state)
    strength = evaluator.strength(bench.loaded.model)
    return 1 - strength.fs, strength.rs


def test_the_injected_model_knows_everybody_and_the_base_nobody(bench: Bench) -> None:
    assert min(es(bench, bench.injected)) >= 0.95
    assert max(es(bench, bench.base)) <= 0.1


def test_a_guard_looks_perfect_and_relearning_and_log_probability_expose_it(
    bench: Bench, guard: None
) -> None:
    found, base = bench.attack(bench.injected), bench.attack(bench.base)
    evaluator = bench.hold(bench.injected)
    for split, kept in ((bench.corpus.forget, False), (bench.corpus.retain, True)):
        some = asked(split, bench.corpus.book, 3)
        share = len(leaked(bench.loaded, some)) / len(some)
        assert share >= 0.95 if kept else share == 0
    for name in ("relearn", "lora", "int8", "nf4", "prompts"):
        assert found[name].leaked_before == found[name].leaked_after == (), "looks perfect"
        assert found[name].others_logp_before > base[name].others_logp_before + 2
    for name in ("relearn", "lora"):
        assert found[name].others_es_after > base[name].others_es_after + 0.5
    for name in ("paraphrase", "prefix"):
        assert found[name].others_es_after > base[name].others_es_after + 0.1
    assert evaluator.strength(bench.loaded.model).fs < 0.05, "no weight was touched"


def test_a_model_restored_to_base_resists(bench: Bench) -> None:
    found = bench.attack(bench.base)
    for outcome in found.values():
        assert outcome.others_es_after <= 0.1, outcome
        assert outcome.leaked_after in ((), None), outcome
    assert found["lora"].attacked_es_after is not None
    assert found["lora"].attacked_es_after >= 0.9, "the attack works, and finds nothing"


def test_an_unlearned_model_comes_back_where_it_is_attacked(bench: Bench) -> None:
    evaluator = bench.hold(bench.injected)
    model = bench.loaded.model
    data = UnlearnData(evaluator.texts["forget"], evaluator.texts["retain"], [])
    method = OBJECTIVES["graddiff"]
    config = TrainConfig(steps=80, lr=6e-4, batch_size=16)
    weights = AllWeights(model)
    start = weights.read()
    unlearn(model, weights, method(method.Config()), data, config, 0)
    end = weights.read()
    assert evaluator.strength(model).fs > 0.9
    told = gather(bench.loaded, bench.corpus, evaluator, MATCHED, seed=0)
    way = MixingPath(weights, start, end)
    plain, matched = attack(model, told, data.retain, MATCHED, 0, way)
    assert all(torch.equal(end[name], value) for name, value in weights.read().items())
    assert plain.attack == matched.attack == "lora"
    assert (plain.attacked_es_after or 0) >= 0.9
    assert matched.start_es == pytest.approx(0.3, abs=0.03)
    assert matched.others_es_before > plain.others_es_before
    assert matched.start_retain_es is not None and matched.start_retain_es > 0.3


def test_memorised_facts_become_splits(bench: Bench) -> None:
    bench.hold(bench.injected)
    book = bench.corpus.book
    assert book is not None
    everything = facts(book)
    right = memorised(bench.loaded, asked(everything, book, 3))
    enough = [key for key, prompts in right.items() if len(prompts) >= 2]
    assert len(enough) >= 0.9 * len(everything)
    config = SplitConfig(
        forget_field="phone", retain_field="birth_city", people=6, validation_people=0
    )
    groups = group_of(book.known, 6, 0)
    splits = draw_splits(everything, right, groups, (0, 2, 4), config, seed=0)
    assert len(splits.main.forget) == len(splits.main.retain) == 6
    bench.hold(bench.base)
    unknown = memorised(bench.loaded, asked(everything, book, 3))
    assert sum(len(prompts) >= 2 for prompts in unknown.values()) <= 1
    corpus = replace(
        bench.corpus,
        forget=splits.main.forget,
        retain=splits.main.retain,
        relearn=splits.relearn,
    )
    evaluator = Evaluator(bench.loaded, corpus, EvaluateConfig())
    told = gather(bench.loaded, corpus, evaluator, ATTACKS, seed=0)
    assert told.outside and len(told.attacked) == len(splits.relearn) and len(told.others) == 6
