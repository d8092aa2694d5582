"""Which attacks a study asks for, in which order, and what they say of their cost."""

from dataclasses import dataclass, replace

import pytest
import torch
from support.tiny import changed, state, tiny_model, tiny_texts

from lacuna.attack import (
    ATTACKS,
    Attack,
    AttackConfig,
    AttackInputs,
    Facts,
    LoraConfig,
    Outcome,
    asked,
    attack,
    leave_out,
    work,
)
from lacuna.attack.replacing import Replacing
from lacuna.costs import Texts, Workload
from lacuna.errors import UserError
from lacuna.train import TrainConfig

NONE = AttackConfig(relearn_lrs=(), benign_lrs=(), bits=(), matched=None)
ALL_OF_THEM = AttackConfig(
    relearn_lrs=(1e-3,), lora_lrs=(1e-3,), benign_lrs=(1e-3,), bits=(8,), nf4=True, wordings=True,
    success_k=2,
)  # fmt: skip
ORDER = ["relearn", "lora", "benign", "integers", "nf4", "reworded", "ask_often"]
LOAD = Workload(
    forget=Texts(10, 200),
    retain=Texts(20, 600),
    refusals=Texts(0, 0),
    neutral=Texts(0, 0),
    layers=2,
)


@pytest.fixture
def shifted(monkeypatch: pytest.MonkeyPatch) -> type[Attack]:
    """An attack of another package, gone after the test."""
    monkeypatch.setattr(ATTACKS, "_items", dict(ATTACKS))

    @ATTACKS.register("shift")
    class Shift(Replacing):
        matched = True

        @dataclass(frozen=True, kw_only=True)
        class Config:
            by: float = 0.5

        def run(self, given: AttackInputs) -> list[Outcome]:
            return [self.measure(given, "shift", lambda weight: weight + self.config.by)]

    return Shift


def test_attacks_are_asked_for_by_their_keys_in_a_fixed_order() -> None:
    assert list(asked(ALL_OF_THEM)) == ORDER
    assert asked(NONE) == {}
    assert list(asked(replace(NONE, bits=(4,), lora_lrs=(1e-4,)))) == ["lora", "integers"]


@pytest.mark.parametrize("name", ORDER)
def test_what_an_error_says_to_leave_an_attack_out_leaves_it_out(name: str) -> None:
    words = [word.removeprefix("attack.") for word in ATTACKS[name].off.split()]
    values = {"[]": (), "false": False, "0": 0}
    switches = {key: values[value] for key, value in (word.split("=") for word in words)}
    left = asked(replace(ALL_OF_THEM, **switches))
    assert list(left) == [other for other in ORDER if other != name]


def test_an_attack_of_another_package_runs_where_it_is_named(shifted: type[Attack]) -> None:
    config = replace(NONE, bits=(8,), extra={"shift": shifted.Config(by=0.25)})
    assert list(asked(config)) == ["integers", "shift"]
    assert leave_out(asked(config)) == "attack.bits=[] ~attack.extra.shift"
    model, texts = tiny_model(), tiny_texts(4)
    before = state(model)
    found = attack(model, Facts((), texts, end_token=1), [], config, seed=0)
    assert [outcome.attack for outcome in found] == ["int8", "shift"]
    assert found[1].others_logp_after < found[1].others_logp_before
    assert changed(before, model) == set()
    assert all(torch.equal(old, model.state_dict()[name]) for name, old in before.items())


def test_names_that_are_no_attack_of_another_package_are_refused() -> None:
    with pytest.raises(UserError, match="unknown attack 'relaern': did you mean 'relearn'"):
        asked(replace(NONE, extra={"relaern": None}))
    with pytest.raises(UserError, match=r"attack.extra.lora: .* asked for by attack.lora_lrs"):
        asked(replace(NONE, extra={"lora": None}))


def test_the_work_of_attacks_adds_up(shifted: type[Attack]) -> None:
    def of(**options: object) -> float:
        return work(replace(NONE, **options), LOAD)

    train = TrainConfig(steps=2, batch_size=5)  # 10 texts
    assert of() == 0
    # a training on 10 forget texts, then the others twice and the attacked once
    assert of(train=train, relearn_lrs=(1e-3,)) == 3 * 200 + 3 * 200
    assert of(train=train, benign_lrs=(1e-3, 1e-2)) == 2 * (3 * 300 + 2 * 200)
    lora = LoraConfig(train=train)
    assert of(lora=lora, lora_lrs=(1e-3,)) == 2 * 200 + 3 * 200
    epochs = replace(lora, epochs=3)
    assert of(lora=epochs, lora_lrs=(1e-3,)) == 2 * 3 * 200 + 3 * 200
    assert of(bits=(8, 4), nf4=True) == 3 * 2 * 200
    # twice as often, and the bisection: its ends, 12 points between, what is kept
    once, looked = of(train=train, relearn_lrs=(1e-3,)), 14 * 200 + 600
    assert of(train=train, relearn_lrs=(1e-3,), matched=0.5) == 2 * once + looked
    assert of(train=train, relearn_lrs=(1e-3,), matched=(0.5, 0.3)) == 3 * once + 2 * looked
    assert of(matched=(0.5, 0.3)) == 0
    # k prompts of 20 tokens each and as many new ones, before and after
    prompts = 2 * (200 + 10 * 3)
    assert of(success_k=2, new_tokens=3) == 200 + prompts
    assert of(bits=(8,), success_k=2, new_tokens=3) == 3 * (200 + prompts)
    assert of(extra={"shift": shifted.Config()}) == 2 * 200


def test_memory_is_declared_by_what_an_attack_trains_and_copies() -> None:
    of = {name: (ATTACKS[name].trains_all, ATTACKS[name].copies) for name in ORDER}
    assert of == {
        "relearn": (True, 1),
        "lora": (False, 0),
        "benign": (True, 1),
        "integers": (False, 1),
        "nf4": (False, 1),
        "reworded": (False, 0),
        "ask_often": (False, 0),
    }
