"""Repair: what it retrains, whom it measures, and that the model is put back."""

from dataclasses import replace

import pytest
from support.tiny import changed, changed_columns, state, tiny_model, tiny_region, tiny_texts

from lacuna.attack import AttackConfig, AttackInputs, Facts, MixingPath, asked, attack
from lacuna.attack.attacks.repair import Repair
from lacuna.errors import UserError
from lacuna.train import Editable, Optimisation, RegionWeights
from lacuna.train.loop import Strategy

FORGET, RETAIN = tiny_texts(4, seed=1), tiny_texts(6, seed=2)
NONE = AttackConfig(relearn_lrs=(), benign_lrs=(), bits=(), matched=None)
QUICK = Optimisation(steps=2, batch_size=3)


def moved(columns: int = 3) -> tuple[AttackInputs, Editable]:
    """A model whose region of many vectors moved, some of them far."""
    model = tiny_model()
    weights = RegionWeights(model, tiny_region(model))
    start = weights.read()
    end = {name: value + 0.01 for name, value in start.items()}
    first = next(iter(end))
    end[first][:, :columns] += 1
    weights.write(end)
    facts = Facts(attacked=(), others=FORGET, end_token=1)
    return AttackInputs(model, facts, RETAIN, 3, MixingPath(weights, start, end)), weights


def test_only_the_vectors_that_moved_furthest_are_retrained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given, weights = moved()
    before, seen = state(given.model), list[dict[str, set[int]]]()
    plain = Strategy.after_training

    def look(self: Strategy, trained: Editable) -> None:
        seen.append(changed_columns(before, given.model))
        plain(self, trained)

    monkeypatch.setattr(Strategy, "after_training", look)
    share = 3 / 48
    found = Repair(Repair.Config(shares=(share,), train=QUICK)).run(given)
    region = tiny_region(given.model)
    first = next(iter(region.columns))
    assert seen == [{first: set(region.columns[first][:3].tolist())}]
    assert changed(before, given.model) == set()
    assert [o.attack for o in found] == ["repair6.25"] and found[0].n_others == len(FORGET)
    assert found[0].others_logp_after != found[0].others_logp_before


def test_a_rate_of_zero_changes_nothing_and_a_share_of_one_trains_every_vector() -> None:
    given, _ = moved()
    (idle,) = Repair(Repair.Config(shares=(1.0,), train=QUICK, lr=0.0)).run(given)
    assert idle.others_logp_after == idle.others_logp_before
    found = Repair(Repair.Config(shares=(0.05, 1.0), train=QUICK, lr=0.01)).run(given)
    assert found[0].others_logp_after != found[1].others_logp_after


def test_a_model_that_was_not_unlearned_has_nothing_to_repair() -> None:
    given, _ = moved()
    assert Repair(Repair.Config()).run(replace(given, way=None)) == []


def test_a_study_asks_for_it_by_name() -> None:
    given, _ = moved()
    config = replace(NONE, extra={"repair": Repair.Config(shares=(0.1,), train=QUICK)})
    assert list(asked(config)) == ["repair"]
    before = state(given.model)
    (found,) = attack(given.model, given.facts, RETAIN, config, 0, given.way)
    assert found.attack == "repair10" and changed(before, given.model) == set()


@pytest.mark.parametrize(
    "options", [{"shares": (0.0,)}, {"shares": (1.5,)}, {"lr": -1.0}, {"buffer": 0}]
)
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"repair: [^\n]+$"):
        Repair.Config(**options)  # type: ignore[arg-type]
