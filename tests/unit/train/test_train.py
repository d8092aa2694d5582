"""The training loop: rates, accumulation, resumption, divergence."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny import (
    both_kinds,
    changed,
    distance,
    same_bits,
    state,
    tiny_model,
    tiny_region,
    tiny_texts,
)
from support.training import TEXTS, config, either_kind, either_type, nll
from torch import Tensor
from transformers import PreTrainedModel

from lacuna.errors import UserError
from lacuna.train import (
    Diverged,
    Loss,
    Optimisation,
    RegionWeights,
    Resumable,
    TrainConfig,
    language_loss,
    train,
)


def test_the_rate_comes_to_the_other_settings_and_changes_none_of_them() -> None:
    plain = Optimisation(steps=7, batch_size=3, warmup=2, schedule="constant", clip=0.5)
    rated = plain.at(0.25)
    assert isinstance(rated, TrainConfig) and (rated.lr, rated.save_every) == (0.25, 0)
    assert {n: v for n, v in vars(rated).items() if n not in ("lr", "save_every")} == vars(plain)
    assert Resumable(save_every=3).at(0.5).save_every == 3


@either_kind
@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_a_constant_gradient_moves_every_weight_by_the_sum_of_the_rates(
    kind: str, schedule: str
) -> None:
    model = tiny_model(dtype=torch.float64)
    options = TrainConfig(steps=5, lr=0.01, warmup=2, schedule=schedule, clip=0)
    weights = both_kinds(model)[kind]
    before = weights.read()

    def slope(_: int) -> Loss:
        return Loss(sum((m.sum() for m in weights.masters.values()), torch.zeros(())))

    train(model, weights, slope, options)
    moved = sum(options.lr_at(step) for step in range(5))
    for name, now in weights.read().items():
        torch.testing.assert_close(now, before[name] - moved, rtol=1e-6, atol=1e-8)


def test_the_cosine_schedule_starts_at_the_rate_and_ends_at_zero() -> None:
    rates = [TrainConfig(steps=4, lr=0.1).lr_at(step) for step in range(5)]
    half = math.sqrt(0.5)
    assert rates == pytest.approx([0.1, 0.05 * (1 + half), 0.05, 0.05 * (1 - half), 0.0])
    warm = TrainConfig(steps=6, lr=0.1, warmup=2)
    assert [warm.lr_at(s) for s in range(3)] == pytest.approx([0.05, 0.1, 0.1])
    assert warm.lr_at(4) == pytest.approx(0.05)
    flat = TrainConfig(steps=6, lr=0.1, warmup=4, schedule="constant")
    assert [flat.lr_at(s) for s in range(6)] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", -1),
        ("clip", -0.5),
        ("weight_decay", -1.0),
        ("warmup", -1),
        ("save_every", -1),
        ("lr", -1.0),
        ("lr", math.nan),
        ("lr", math.inf),
        ("batch_size", 0),
        ("accumulation", 0),
        ("schedule", "linear"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(UserError, match=field):
        TrainConfig(**{field: value})


@either_kind
@either_type
def test_zero_steps_is_the_identity(kind: str, dtype: torch.dtype) -> None:
    model = tiny_model(dtype=dtype)
    before = state(model)
    loss = language_loss(model, TEXTS, 3, seed=0)
    history = train(model, both_kinds(model)[kind], loss, config(steps=0))
    assert history.losses == [] and changed(before, model) == set()


@either_kind
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(kind: str) -> None:
    def trained(seed: int) -> dict[str, Tensor]:
        model = tiny_model()
        train(model, both_kinds(model)[kind], language_loss(model, TEXTS, 2, seed), config())
        return state(model)

    first, again, other = trained(1), trained(1), trained(2)
    assert all(same_bits(first[name], again[name]) for name in first)
    assert any(not same_bits(first[name], other[name]) for name in first)


@either_kind
def test_training_lowers_the_loss_and_reports_it(kind: str) -> None:
    model, seen = tiny_model(), []
    start = float(nll(model))
    history = train(
        model,
        both_kinds(model)[kind],
        lambda _: Loss(nll(model), {"loss/extra": torch.tensor(3.0)}),
        config(steps=8),
        on_step=lambda step, metrics: seen.append((step, dict(metrics))),
    )
    assert history.losses[0] == pytest.approx(start, rel=1e-6)
    assert history.losses[-1] < history.losses[0] - 0.05
    assert seen == [(i, {"loss": x, "loss/extra": 3.0}) for i, x in enumerate(history.losses)]


@either_kind
def test_two_batches_of_eight_are_one_of_sixteen(kind: str) -> None:
    texts = tiny_texts(16, answer=(4,))  # equal lengths: a mean of means is the mean
    seen: list[int] = []

    def trained(size: int) -> PreTrainedModel:
        model = tiny_model(dtype=torch.float64)
        parts = 16 // size

        def loss(i: int) -> Loss:
            seen.append(i)
            start = i % parts * size
            return Loss(nll(model, texts[start : start + size]))

        options = config(accumulation=parts, weight_decay=0.1)
        train(model, both_kinds(model)[kind], loss, options)
        return model

    assert distance(trained(16), trained(8)) < 1e-9
    assert seen == [*range(4), *range(8)], "every part asks for the next batch"


class Killed(Exception):
    """Stands for a lost machine."""


@either_kind
@either_type
@pytest.mark.parametrize("dies_at", [1, 3, 5])
def test_a_killed_run_resumes_to_the_same_bits(
    tmp_path: Path, kind: str, dtype: torch.dtype, dies_at: int
) -> None:
    options = TrainConfig(steps=6, lr=0.02, warmup=2, weight_decay=0.1, save_every=2)

    def run(
        folder: Path | None, dies: int | None, asked: list[int]
    ) -> tuple[list[float], dict[str, Tensor]]:
        model = tiny_model(dtype=dtype)
        plain = language_loss(model, TEXTS, 2, seed=3)

        def loss(i: int) -> Loss:
            asked.append(i)
            if i == dies:
                raise Killed
            return plain(i)

        history = train(model, both_kinds(model)[kind], loss, options, resume=folder)
        return history.losses, state(model)

    whole_losses, whole = run(None, None, [])
    with pytest.raises(Killed):
        run(tmp_path / "steps", dies_at, [])
    asked: list[int] = []
    losses, resumed = run(tmp_path / "steps", None, asked)
    assert asked == list(range(dies_at // 2 * 2, 6)), "only what was lost is done again"
    assert losses == whole_losses
    assert all(same_bits(whole[name], resumed[name]) for name in whole)
    assert [path.name for path in (tmp_path / "steps").iterdir()] == ["step-6"]
    asked.clear()
    assert run(tmp_path / "steps", None, asked)[0] == losses and asked == []


@either_kind
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_weights_move(kind: str, bad: float) -> None:
    model, reference = tiny_model(), tiny_model()
    loss = language_loss(model, TEXTS, 2, seed=0)
    plain = language_loss(reference, TEXTS, 2, seed=0)
    with pytest.raises(Diverged, match=r"loss is (nan|inf) at step 2"):
        train(
            model,
            both_kinds(model)[kind],
            lambda i: Loss(loss(i).value * (bad if i == 2 else 1)),
            config(),
        )
    train(reference, both_kinds(reference)[kind], plain, config(steps=2))
    assert changed(state(reference), model) == set()
    assert not any(weight.requires_grad for weight in model.parameters())


@either_kind
def test_a_gradient_that_is_not_finite_stops_before_weights_move(kind: str) -> None:
    model = tiny_model()
    before = state(model)

    def cliff(_: int) -> Loss:
        value = nll(model)
        return Loss((value - value.detach()).sqrt())  # 0, with infinite slope

    with pytest.raises(Diverged, match="gradient norm is"):
        train(model, both_kinds(model)[kind], cliff, config())
    assert changed(before, model) == set()


def test_a_loss_that_the_weights_cannot_reach_leaves_them_alone() -> None:
    """A steered layer below every vector of the region, say."""
    model = tiny_model()
    before = state(model)
    weights = RegionWeights(model, tiny_region(model))
    fixed = model.get_input_embeddings().weight.square().mean()
    history = train(model, weights, lambda _: Loss(fixed), config(weight_decay=0.5))
    assert history.losses == [float(fixed)] * 4
    assert changed(before, model) == set()


@either_kind
def test_recomputed_activations_give_the_same_weights(kind: str) -> None:
    def trained(checkpointing: bool) -> PreTrainedModel:
        model = tiny_model(dtype=torch.float64, layers=3)
        loss = language_loss(model, TEXTS, 2, seed=0)
        train(model, both_kinds(model)[kind], loss, config(checkpointing=checkpointing))
        assert not model.training and not model.is_activation_checkpointing
        return model

    assert distance(trained(False), trained(True)) < 1e-12
