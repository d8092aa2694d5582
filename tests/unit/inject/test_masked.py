"""Masked continual pretraining: facts go into their group's mask, whatever else is trained."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from support.tiny import changed, same_bits, state, tiny_model, tiny_texts, whole_batch
from torch import Tensor
from transformers import PreTrainedModel

from lacuna.errors import UserError
from lacuna.inject import (
    CausalConfig,
    DropoutConfig,
    InstructConfig,
    MaskConfig,
    MaskedConfig,
    Reading,
    SgtmConfig,
    causal,
    inject_masked,
    inject_sgtm,
    instruct,
    outside_unchanged,
    without,
)
from lacuna.inject.dropout import MaskDropout
from lacuna.inject.sgtm import through
from lacuna.model import answers
from lacuna.region import GroupMasks
from lacuna.train import IndexedWeights, TrainConfig, mean_nll
from lacuna.unlearn import answer_nll

GROUPS = {g: tiny_texts(4, seed=g + 1) for g in range(3)}
NEUTRAL = tiny_texts(6, seed=9)
OFF = DropoutConfig(rate=0.0)


def masks(model: PreTrainedModel, share: float = 0.1, **options: Any) -> GroupMasks:
    config = MaskConfig(**{"groups": 3, "forget_groups": (0, 2), **options})
    return config.draw(model, share, seed=1)


def config(**options: Any) -> MaskedConfig:
    return MaskedConfig(
        **{"cycles": 3, "lr": 0.05, "batch_size": 2, "neutral_size": 2, "warmup": 0, **options}
    )


def injected(
    options: MaskedConfig, groups: dict[int, Any] = GROUPS, seed: int = 0
) -> tuple[PreTrainedModel, GroupMasks]:
    model = tiny_model()
    drawn = masks(model)
    inject_masked(model, drawn, groups, NEUTRAL, (0, 2), options, seed)
    return model, drawn


def outside_unmoved(model: PreTrainedModel, drawn: GroupMasks, groups: list[int]) -> bool:
    """Whether only weights of these groups' masks differ from the untrained model."""
    region, before = drawn.union(groups), state(tiny_model())
    for name, now in model.state_dict().items():
        if name in region.shapes:
            held = region.mask(name)
            if bool(held.any()) and same_bits(now[held], before[name][held]):
                return False  # a mask that was trained has moved
            now, before[name] = now[~held], before[name][~held]
        if not same_bits(now, before[name]):
            return False
    return True


@pytest.mark.parametrize("dropout", [OFF, DropoutConfig(rate=0.5)])
@pytest.mark.parametrize("neutral", ["none", "masks"])
@pytest.mark.parametrize("groups", [[0, 1, 2], [1]])
def test_facts_move_their_own_masks_and_not_a_bit_outside(
    neutral: str, groups: list[int], dropout: DropoutConfig
) -> None:
    """With decay, and whatever dropout put back meanwhile."""
    options = config(neutral=neutral, weight_decay=0.3, dropout=dropout, groups_per_step=2)
    model, drawn = injected(options, {g: GROUPS[g] for g in groups})
    assert outside_unmoved(model, drawn, groups)
    assert outside_unchanged(tiny_model(), model, drawn, options)
    assert not any(weight.requires_grad for weight in model.parameters())


def test_neutral_text_moves_everything_but_the_embeddings() -> None:
    options = config(weight_decay=0.3)
    model, drawn = injected(options)
    before = state(tiny_model())
    assert changed(before, model) == set(before) - {"model.embed_tokens.weight"}
    assert outside_unchanged(tiny_model(), model, drawn, options)
    with torch.no_grad():
        model.get_input_embeddings().weight[3, 3] += 1e-6
    assert not outside_unchanged(tiny_model(), model, drawn, options)


def test_the_unmasked_control_reads_the_same_batches_without_masks() -> None:
    options = config(masked=False, neutral="none")
    model, _ = injected(options)
    before = state(tiny_model())
    assert changed(before, model) == set(before) - {"model.embed_tokens.weight"}


def test_planted_facts_are_learned() -> None:
    before = {g: float(answer_nll(tiny_model(), texts).sum()) for g, texts in GROUPS.items()}
    model, _ = injected(config(cycles=15, dropout=OFF))
    for group, texts in GROUPS.items():
        assert float(answer_nll(model, texts).sum()) < before[group] - 5


def test_autocast_learns_in_bfloat16_around_float32_weights() -> None:
    before = {g: float(answer_nll(tiny_model(), texts).sum()) for g, texts in GROUPS.items()}
    options = config(cycles=15, neutral="none", dropout=OFF, autocast=True, weight_decay=0.3)
    model, drawn = injected(options)
    assert outside_unmoved(model, drawn, [0, 1, 2])
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    for group, texts in GROUPS.items():
        assert float(answer_nll(model, texts).sum()) < before[group] - 5
    assert changed(state(model), injected(replace(options, autocast=False))[0]), "it was in use"


def by_hand(groups: list[int]) -> dict[str, Tensor]:
    """One step of several groups: dense gradients of each, masked, at the same weights."""
    model = tiny_model(dtype=torch.float64)
    drawn = masks(model)
    start = state(model)
    for group in groups:
        fresh = tiny_model(dtype=torch.float64).requires_grad_(True)
        mean_nll(answers(fresh, whole_batch(GROUPS[group]))).backward()
        region = drawn.union([group])
        named = {n: w for n, w in fresh.named_parameters() if n in region.shapes}
        held = {n: region.mask(n) for n in named}
        for name, weight in named.items():
            assert weight.grad is not None
            weight.grad *= held[name]
        norm = float(torch.nn.utils.get_total_norm([w.grad for w in named.values()]))
        for name, weight in named.items():
            assert weight.grad is not None
            grad = weight.grad * min(1.0, 0.7 / (norm + 1e-6))
            step = 0.05 * grad / (grad.abs() + 1e-8)  # Adam's first step
            start[name] -= torch.where(held[name], step, 0.0)
    return start


def test_several_groups_in_one_step_are_exact() -> None:
    model = tiny_model(dtype=torch.float64)
    options = config(
        cycles=1, batch_size=4, groups_per_step=3, neutral="none", dropout=OFF, clip=0.7, decay=0
    )
    inject_masked(model, masks(model), GROUPS, NEUTRAL, (0, 2), options, seed=0)
    wanted = by_hand([0, 1, 2])
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, wanted[name], rtol=0, atol=1e-9)
    assert changed(state(tiny_model(dtype=torch.float64)), model)


def dropout(schedule: str, rate: float = 0.4, neutral: bool = True) -> MaskDropout:
    model = tiny_model()
    drawn = MaskConfig().draw(model, 0.05, 0)
    parts = {g: IndexedWeights(model, drawn.union([g])) for g in range(6)}
    options = DropoutConfig(rate=rate, schedule=schedule, neutral=neutral)
    return MaskDropout(parts, [[0, 2, 4], [1, 3, 5]], options, seed=3)


def test_each_schedule_drops_what_it_says() -> None:
    found = dropout("independent")
    sets = [found.dropped(2, n) for n in range(2000)]
    for other in (0, 1, 3, 4, 5):  # binomial: .4, standard deviation .011
        assert sum(other in s for s in sets) / 2000 == pytest.approx(0.4, abs=0.05)
    assert not any(2 in s for s in sets)
    found = dropout("subset")
    sizes = [len(found.dropped(2, n)) for n in range(2000)]
    assert sizes.count(0) / 2000 == pytest.approx(0.6, abs=0.05)
    for size in range(1, 6):
        assert sizes.count(size) / 2000 == pytest.approx(0.08, abs=0.03)
    found = dropout("triples")
    sets = [found.dropped(2, n) for n in range(2000)]
    triple = 0.4 + 0.6 * 0.4**3 * 0.6**2
    assert sets.count([1, 3, 5]) / 2000 == pytest.approx(triple, abs=0.05)
    both = [found.dropped(None, n) for n in range(2000)]
    assert both.count([0, 2, 4]) > 300 and both.count([1, 3, 5]) > 300
    assert not any(dropout("independent", neutral=False).dropped(None, n) for n in range(50))
    assert found.dropped(2, 17) == dropout("triples").dropped(2, 17), "a draw repeats"


def test_dropped_masks_stand_at_base_for_the_pass_only() -> None:
    found = dropout("independent", rate=0.9)
    model = tiny_model()
    for part in found.parts.values():
        part.write({name: value + 1 for name, value in part.read().items()})
    moved = {g: part.read() for g, part in found.parts.items()}
    for number in range(5):
        away = found.dropped(1, number)
        with found.during(1, number):
            for group, part in found.parts.items():
                wanted = part.read(model) if group in away else moved[group]
                assert all(torch.equal(v, wanted[n]) for n, v in part.read().items())
        assert all(
            torch.equal(v, moved[g][n]) for g, p in found.parts.items() for n, v in p.read().items()
        )


def test_neutral_text_gives_dropped_masks_no_gradient() -> None:
    found = dropout("independent", rate=0.6)
    part = next(iter(found.parts.values()))
    weights = {name: module.weight.requires_grad_(True) for name, module in part.modules.items()}
    number = next(n for n in range(99) if 0 < len(found.dropped(None, n)) < 6)
    away = found.dropped(None, number)
    with found.during(None, number):
        sum((w.square().sum() for w in weights.values()), torch.zeros(())).backward()
    for group, other in found.parts.items():
        for name, places in other.places.items():
            grad = weights[name].grad
            assert grad is not None
            assert bool((grad.reshape(-1)[places] == 0).all()) == (group in away)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"neutral": "everything"}, "did you mean|choose one of"),
        ({"decay": 1.5}, "a share of the cycles"),
        ({"cycles": -1}, "must not be negative"),
        ({"batch_size": 0}, "must be at least 1"),
    ],
)
def test_values_out_of_bounds_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        config(**options)
    with pytest.raises(UserError, match="leave at least one"):
        MaskConfig(forget_groups=(0, 1, 2, 3, 4, 5))
    with pytest.raises(UserError, match="below 1"):
        DropoutConfig(rate=1.0)


def test_half_precision_weights_are_refused() -> None:
    model = tiny_model(dtype=torch.bfloat16)
    with pytest.raises(UserError, match="load float32, use autocast"):
        inject_masked(model, masks(model), GROUPS, NEUTRAL, (0, 2), config(), 0)


def test_injection_repeats_by_seed_and_zero_cycles_is_the_identity() -> None:
    first, again, other = (injected(config(), seed=seed)[0] for seed in (1, 1, 2))
    assert changed(state(first), again) == set()
    assert changed(state(first), other)
    assert changed(state(tiny_model()), injected(config(cycles=0))[0]) == set()


@pytest.mark.parametrize("method", ["sgtm", "routing"])
def test_sgtm_moves_whole_neurons_and_heads_of_the_group(method: str) -> None:
    model = tiny_model()
    drawn = masks(model, unit="vector", share=0.15)
    assert all(len(drawn.union([g])) for g in range(3))
    routing, options = SgtmConfig(method=method), config(neutral="none", dropout=OFF, cycles=15)
    before = {g: float(answer_nll(model, texts).sum()) for g, texts in GROUPS.items()}
    inject_sgtm(model, drawn, GROUPS, NEUTRAL, routing, options, seed=0)
    region, untouched = drawn.union(range(3)), state(tiny_model())
    for name, now in model.state_dict().items():
        held = region.mask(name) if name in region.shapes else torch.zeros_like(now).bool()
        assert same_bits(now[~held], untouched[name][~held])
    assert all(float(answer_nll(model, t).sum()) < before[g] - 1 for g, t in GROUPS.items())
    with pytest.raises(UserError, match="set masks.unit=vector"):
        inject_sgtm(model, masks(model), GROUPS, NEUTRAL, routing, options, seed=0)


def test_neurons_and_heads_without_output_are_as_good_as_zero_weights() -> None:
    model = tiny_model(dtype=torch.float64)
    drawn = masks(model, unit="vector", share=0.15)
    region, texts = drawn.union([0]), whole_batch(NEUTRAL)
    plain = mean_nll(answers(model, texts))
    with without(model, region):
        off = mean_nll(answers(model, texts))
    assert torch.equal(plain, mean_nll(answers(model, texts))) and not torch.equal(plain, off)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("down_proj.weight", "o_proj.weight")):
                weight[region.mask(name)] = 0
    torch.testing.assert_close(mean_nll(answers(model, texts)), off, rtol=1e-12, atol=0)


def test_routing_lets_gradients_pass_the_groups_neurons_only() -> None:
    """A neuron of layer 0 that the group does not own gets none, though layer 1 reads it."""
    model = tiny_model()
    region = masks(model, unit="vector", share=0.15).union([0])
    name = "model.layers.0.mlp.up_proj.weight"
    weight = dict(model.named_parameters())[name].requires_grad_(True)
    with through(model, region):
        mean_nll(answers(model, whole_batch(NEUTRAL))).backward()
    assert weight.grad is not None
    own = region.mask(name)[:, 0]
    assert bool((weight.grad[~own] == 0).all()) and bool((weight.grad[own] != 0).any())


def test_instruction_tuning_stays_in_the_last_layers_and_out_of_masks() -> None:
    model = tiny_model(layers=3)
    before, texts = state(model), tiny_texts(6, seed=4)
    held = masks(model, skip_layers=(-1,)).shapes
    options = InstructConfig(train=TrainConfig(steps=10, lr=0.02, batch_size=3), layers=1, rank=2)
    start = float(answer_nll(model, texts).sum())
    instruct(model, texts, list(held), options, seed=0)
    moved = changed(before, model)
    assert moved and all(name.startswith("model.layers.2.") for name in moved)
    assert moved == {n for n in before if n.startswith("model.layers.2.") and "norm" not in n}
    assert float(answer_nll(model, texts).sum()) < start - 1
    assert not any("lora" in name for name, _ in model.named_parameters())
    with pytest.raises(UserError, match=r"masks.skip_layers"):
        instruct(model, texts, list(masks(model).shapes), options, seed=0)


def planted() -> tuple[PreTrainedModel, PreTrainedModel, GroupMasks]:
    """Base and "injected" tiny models; every mask of the second differs by 1."""
    base, model = tiny_model(), tiny_model()
    drawn = masks(model)
    part = IndexedWeights(model, drawn.union(range(3)))
    part.write({name: value + 1 for name, value in part.read().items()})
    return base, model, drawn


def reader(drawn: GroupMasks, lost: float, elsewhere: float) -> Any:
    """A model "knows" a group as long as its mask differs from base; `elsewhere` is what each other
    restored mask costs the others."""
    untouched = tiny_model()

    def read(model: PreTrainedModel) -> Reading:
        there = []
        for group in range(3):
            part = IndexedWeights(model, drawn.union([group]))
            then = part.read(untouched)
            there.append(any(not torch.equal(v, then[n]) for n, v in part.read().items()))
        gone = there.count(False)
        groups = {g: lost if not there[g] else 1.0 - elsewhere * gone for g in range(3)}
        return Reading(groups, people=1.0, neutral=1.2)

    return read


@pytest.mark.parametrize(
    ("lost", "elsewhere", "failure"),
    [
        (0.02, 0.1, None),
        (0.30, 0.1, "own ES after ablation 0.300, asked <= 0.05"),
        (0.02, 0.4, "share that others keep 0.600, asked >= 0.85"),
    ],
)
def test_the_causal_report_says_which_ablation_failed(
    lost: float, elsewhere: float, failure: str | None
) -> None:
    base, model, drawn = planted()
    before = state(model)
    report = causal(
        model, base, drawn, (0, 2), reader(drawn, lost, elsewhere), CausalConfig(), seed=0
    )
    assert changed(before, model) == set(), "the model is left as it was"
    assert list(report.own) == [lost] * 3
    assert list(report.others) == pytest.approx([1 - elsewhere] * 3)
    assert report.joint["forget"] == pytest.approx({"own": lost, "others": 1 - 2 * elsewhere})
    assert report.perturbed == [1.0] * 3, "this reader looks at the masks only"
    assert report.passed == (failure is None)
    assert report.label == ("localized" if not failure else f"not localized causally: {failure}")
    assert report.to_json()["label"] == report.label


def test_the_perturbation_is_as_large_as_the_change_and_outside_all_masks() -> None:
    base, model, drawn = planted()
    intact = state(model)
    seen: list[dict[str, Tensor]] = []

    def read(now: PreTrainedModel) -> Reading:
        seen.append(state(now))
        return Reading({0: 1.0, 1: 1.0}, people=1.0, neutral=1.0)

    causal(model, base, drawn, (0,), read, CausalConfig(), seed=0)
    every = drawn.union(range(3))
    for group, found in enumerate(seen[4:6]):
        own = drawn.union([group]).by_tensor()
        for name in every.shapes:
            moved = (found[name] - intact[name]).reshape(-1)
            assert int((moved != 0).sum()) == own[name]
            assert not bool((moved.reshape(every.shapes[name])[every.mask(name)]).any())
            torch.testing.assert_close(moved[moved != 0], torch.ones(own[name]))
