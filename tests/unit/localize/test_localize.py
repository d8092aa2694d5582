"""Localizers: what holds for all, how regions are selected, and the controls."""

from dataclasses import replace

import pytest
import torch
from support.localizing import FORGET, close, evidence, region, scores
from support.tiny import changed, state, tiny_model, tiny_region
from torch import Tensor

from lacuna.data.tokens import IGNORE
from lacuna.errors import UserError
from lacuna.localize import LOCALIZERS, Evidence, Localizer, Scores, localize
from lacuna.localize.evidence import RETAINED, TARGET
from lacuna.localize.select import NORMALISATIONS, normalised
from lacuna.model import value_modules
from lacuna.region import overlap


@pytest.mark.parametrize("name", LOCALIZERS)
def test_a_localizer_scores_every_vector_and_leaves_the_model_alone(name: str) -> None:
    seen = evidence(model=tiny_model())
    before = state(seen.model)
    found = scores(name, seen)
    assert {n: s.shape for n, s in found.items()} == {
        n: (width,) for n, (_, width) in seen.layout.shapes.items()
    }
    assert all(torch.isfinite(s).all() for s in found.values())
    assert len(torch.cat(list(found.values())).unique()) > 1
    assert changed(before, seen.model) == set()
    assert not any(weight.requires_grad for weight in seen.model.parameters())
    assert all(weight.grad is None for weight in seen.model.parameters())


@pytest.mark.parametrize("name", LOCALIZERS)
def test_a_localizer_repeats_itself_and_meets_the_budget(name: str) -> None:
    seen = evidence()
    for count in (1, 14, 9):
        found = region(name, seen, count)
        assert len(found) == count and found.origin == {"localizer": "mine"}
    assert torch.equal(found.flat(), region(name, evidence(), 9).flat())


@pytest.mark.parametrize("name", LOCALIZERS)
def test_scope_layer_takes_an_equal_share_of_each_layer(name: str) -> None:
    assert list(region(name, evidence(), 9, scope="layer").by_layer().values()) == [5, 4]


@pytest.mark.parametrize("name", LOCALIZERS)
def test_a_localizer_knows_only_what_it_declares(name: str) -> None:
    """Without its privileges it fails; what it does not declare changes nothing."""
    method = LOCALIZERS[name](LOCALIZERS[name].Config())
    full, told = evidence(), set(method.privileges)
    assert told <= {TARGET, RETAINED}
    bare = evidence(
        target=full.target if TARGET in told else None,
        retained=full.retained if RETAINED in told else None,
    )
    close(method.scores(bare), method.scores(full))
    if told:
        with pytest.raises((UserError, AssertionError)):
            method.scores(full.told(()))


def test_what_is_not_declared_is_not_shown() -> None:
    class Cheat(Localizer):
        def scores(self, evidence: Evidence) -> Scores:
            assert evidence.target is None and evidence.retained is None
            return evidence.norms

    full = evidence()
    assert full.target is not None and full.retained is not None
    assert len(localize(full, [("cheat", Cheat(Cheat.Config()))], 5)["cheat"].region) == 5
    with pytest.raises(UserError, match="Cheat: scope=matched would tell it"):
        Cheat(Cheat.Config(scope="matched"))


@pytest.mark.parametrize("option", [{"scope": "layers"}, {"normalise": "mean"}])
def test_an_unknown_way_to_select_is_refused(option: dict[str, str]) -> None:
    ((name, value),) = option.items()
    with pytest.raises(UserError, match=f"{name}='{value}': choose one of"):
        LOCALIZERS["norm"].Config(**option)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("memflex", "repeats"),
        ("wagle", "fisher_examples"),
        ("fisher_ratio", "examples"),
        ("integrated_gradients", "steps"),
        ("integrated_gradients", "examples"),
        ("zero_out", "exact"),
        ("zero_out", "examples"),
    ],
)
def test_a_count_of_zero_is_refused(name: str, option: str) -> None:
    with pytest.raises(UserError, match=rf"{name}\.{option}=0: must be at least 1"):
        LOCALIZERS[name].Config(**{option: 0})


RAW = {"a": torch.tensor([3.0, -1.0, 0.0]), "b": torch.tensor([10.0, 20.0, 30.0])}
LENGTHS = {"a": torch.tensor([1.0, 2.0, 4.0]), "b": torch.tensor([100.0, 20.0, 1.0])}


@pytest.mark.parametrize(
    ("how", "a", "b"),
    [
        ("none", [3, -1, 0], [10, 20, 30]),
        ("sum", [3 / 4, -1 / 4, 0], [1 / 6, 1 / 3, 1 / 2]),
        ("max", [1, -1 / 3, 0], [1 / 3, 2 / 3, 1]),
        ("zscore", [1.372813, -0.980581, -0.392232], [-1.224745, 0, 1.224745]),
        ("norm", [3, -0.5, 0], [0.1, 1, 30]),
    ],
)
def test_scores_are_normalised_by_layer_or_by_length(
    how: str, a: list[float], b: list[float]
) -> None:
    found = normalised(RAW, how, LENGTHS)
    assert found["a"].tolist() == pytest.approx(a)
    assert found["b"].tolist() == pytest.approx(b)


@pytest.mark.parametrize("how", NORMALISATIONS)
def test_a_silent_layer_stays_at_zero(how: str) -> None:
    zeros = {"a": torch.zeros(3), "b": torch.ones(3)}
    assert (
        normalised(zeros, how, {"a": torch.zeros(3), "b": torch.ones(3)})["a"].tolist() == [0] * 3
    )


def test_normalising_changes_which_layer_wins_and_never_the_order_inside() -> None:
    found, shares = evidence(), []
    for how in ("none", "sum", "max", "zscore"):
        chosen = region("snip", found, 12, normalise=how)
        shares.append(tuple(chosen.by_layer().values()))
        for name, score in scores("snip", found).items():
            count = chosen.by_layer()[name]
            assert set(score.topk(count).indices.tolist()) == set(
                chosen.columns.get(name, torch.tensor([])).tolist()
            )
    assert len(set(shares)) > 1


def test_controls_hit_as_often_as_they_must() -> None:
    seen = evidence()
    assert seen.target is not None
    size = len(seen.target)
    assert overlap(region("oracle", seen, size), seen.target)["precision"] == 1.0
    assert overlap(region("complement", seen, size), seen.target)["precision"] == 0.0
    for name in ("random", "random_layers"):
        hits = []
        for seed in range(100):
            guess = region(name, replace(seen, seed=seed), size)
            hits.append(overlap(guess, seen.target)["precision"])
            assert name == "random" or guess.by_layer() == seen.target.by_layer()
        assert sum(h or 0 for h in hits) / 100 == pytest.approx(seen.target.fraction, abs=0.05)


def test_controls_that_need_a_target_or_room_say_so() -> None:
    for name in ("oracle", "complement", "random_layers"):
        with pytest.raises(UserError, match="needs a target region"):
            scores(name, evidence(target=None))
    model = tiny_model()
    with pytest.raises(UserError, match="use at most 0.5"):
        scores("complement", evidence(model=model, target=tiny_region(model, 0.6)))


def test_drift_and_norm_find_the_one_vector_that_was_changed() -> None:
    before, after = tiny_model(), tiny_model()
    name, module = list(value_modules(after).items())[1]
    with torch.no_grad():
        module.weight[:, 17] *= 9
        module.weight[0, 4] += 0.01
    seen = evidence(model=after, retained=before)
    drift = scores("drift", seen)
    others = torch.cat([s for s in drift.values()]).sort(descending=True).values
    assert drift[name].argmax() == 17 and others[0] == drift[name][17]
    assert drift[name][4] == pytest.approx(0.01, rel=1e-4)
    assert others[2:].abs().max() == 0
    norm = scores("norm", seen)
    assert norm[name].argmax() == 17
    assert norm[name][17] == pytest.approx(float(module.weight[:, 17].pow(2).sum()) ** 0.5)


def test_activations_are_mean_contributions_as_shares_of_their_layer() -> None:
    seen = evidence()
    for name, module in value_modules(seen.model).items():
        kept: list[Tensor] = []
        handle = module.register_forward_pre_hook(lambda _, args, kept=kept: kept.append(args[0]))
        total = torch.zeros(24, dtype=torch.float64)
        for text in FORGET:
            own, count = torch.zeros(24, dtype=torch.float64), 0
            with torch.no_grad():
                seen.model(input_ids=torch.tensor([text.ids]))
            for t in range(1, len(text.ids)):
                if text.labels[t] != IGNORE:
                    own += kept[-1][0, t - 1].abs()
                    count += 1
            total += own / count
        handle.remove()
        raw = total / len(FORGET) * module.weight.norm(dim=0)
        close({name: scores("activations", seen)[name]}, {name: raw})
        ranked = localize(
            seen, [("a", LOCALIZERS["activations"](LOCALIZERS["activations"].Config()))], 5
        )["a"].scores
        close({name: ranked[name]}, {name: raw / raw.sum()})
        assert seen.activations[name][5] == pytest.approx(float(total[5]) / len(FORGET), rel=1e-5)
