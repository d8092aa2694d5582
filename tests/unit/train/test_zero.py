"""Training over several devices, as far as one process can tell: shares, bytes, refusals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny import tiny_model, tiny_region, tiny_texts
from torch import Tensor
from transformers import PreTrainedModel

from lacuna.data.tokens import TrainingBatches
from lacuna.errors import UserError
from lacuna.model.hidden import decoder_layers
from lacuna.model.shared_forward import joint
from lacuna.train import AllWeights, Parallel, RegionWeights, TrainConfig, language_loss
from lacuna.train.zero import device_bytes, require_deepspeed
from lacuna.unlearn import OBJECTIVES, WRAPPERS, UnlearnData, unlearn
from lacuna.unlearn.retain import hidden_states
from sweeps.config.compose import configure
from sweeps.plan.costs.memory import Size
from sweeps.plan.costs.stages import Costs
from sweeps.plan.estimate import estimate_study
from sweeps.plan.make import make_planner
from sweeps.plan.planner import Planner
from sweeps.plan.stages import Cell

TEXTS = tiny_texts(7)
ZERO3 = "retained.recipe.parallel.zero=3"
TAUGHT = "inject.parallel.zero=2", "inject.parallel.workers=2"
MASKED = "protocol=lacuna", "scenarios=[oracle]"
UNLEARN = "unlearn.parallel.zero=3", "unlearn.parallel.workers=2"


def spoken(model: PreTrainedModel, batch: int) -> Tensor:
    return language_loss(model, TEXTS, 4, 3)(batch).value


def hidden(model: PreTrainedModel, batch: int) -> Tensor:
    rows = TrainingBatches(TEXTS, 4, 3)[batch]
    return hidden_states(model, rows, decoder_layers(model)[:1]).square().mean()


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("loss", [spoken, hidden])
def test_a_model_asked_together_has_the_loss_and_gradient_of_the_batch(
    loss: Callable[[PreTrainedModel, int], Tensor], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of 4, 3 and, for 5 workers, fewer rows than workers; answers of unequal length.

    The processes run one after the other, twice: at first nobody knows what the later ones send.
    """
    sent: dict[int, Tensor] = {}

    def process(rank: int, batch: int) -> tuple[float, Tensor]:
        def gather(parts: list[Tensor], own: Tensor) -> None:
            sent[rank] = own.detach()
            for k, part in enumerate(parts):
                part.copy_(sent.get(k, own))

        monkeypatch.setattr(torch.distributed, "all_gather", gather)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
        return gradient(batch, joint)

    def gradient(batch: int, ask: Callable[[Any], Any] = lambda model: model) -> Any:
        model = tiny_model(dtype=torch.float64).requires_grad_(True)
        value = loss(ask(model), batch)
        value.backward()
        found = [torch.zeros_like(w) if w.grad is None else w.grad for w in model.parameters()]
        return value.item(), torch.cat([grad.flatten() for grad in found])

    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: workers)
    for batch in (0, 1):
        value, whole = gradient(batch)
        for _ in range(2):
            parts = [process(rank, batch) for rank in range(workers)]
        assert [part[0] for part in parts] == pytest.approx([value] * workers, rel=1e-12)
        mean = torch.stack([part[1] for part in parts]).mean(dim=0)
        torch.testing.assert_close(mean, whole, rtol=1e-4, atol=1e-6)  # float32 norms
        sent.clear()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zero": 1}, "parallel.zero=1: choose 0"),
        ({"zero": 2, "workers": 0}, "parallel.workers=0: must be at least 1"),
        ({"workers": 2}, "parallel.workers and parallel.offload need parallel.zero=2 or 3"),
        ({"offload": True}, "parallel.workers and parallel.offload need parallel.zero=2 or 3"),
        ({"zero": 2}, "parallel.zero=2 with one worker saves nothing"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        Parallel(**options)
    assert "\n" not in str(caught.value)


def test_a_7b_model_takes_the_bytes_that_the_formulas_say() -> None:
    def gigabytes(**options: Any) -> float:
        return device_bytes(Parallel(**options), 7_300_000_000, 2) / 1e9

    assert gigabytes(zero=2, workers=8) == pytest.approx(14.6 + 14 * 7.3 / 8)
    assert gigabytes(zero=3, workers=8) == pytest.approx(16 * 7.3 / 8)
    assert gigabytes(zero=2, workers=8, offload=True) == pytest.approx(14.6 + 2 * 7.3 / 8)
    assert gigabytes(zero=3, workers=1, offload=True) == pytest.approx(4 * 7.3)


def planned(tmp_path: Path, *overrides: str) -> Planner:
    return make_planner(configure(["study=smoke", f"artifacts={tmp_path / 'a'}", *overrides]))


def test_workers_are_planned_where_the_recipe_asks_for_them(tmp_path: Path) -> None:
    plain = planned(tmp_path)
    sharded = planned(tmp_path, ZERO3, "retained.recipe.parallel.workers=4")
    assert {stage.workers for stage in plain.setup()} == {0}
    assert {s.workers for s in sharded.setup() if s.kind == "retained"} == {4}
    assert {s.workers for s in sharded.setup() if s.kind != "retained"} == {0}
    assert plain.stages.retained(1).key != sharded.stages.retained(1).key, "other bits"
    assert plain.stages.base().key == sharded.stages.base().key
    size = Size(model=1000, values=100, region=10, layers=2)
    memory = [Costs(p.stages, size).memory(p.stages.retained(1)) for p in (plain, sharded)]
    assert memory == [16_000, 5_000]


def test_every_stage_that_trains_all_weights_can_be_spread(tmp_path: Path) -> None:
    options = "protocol=full", "scenarios=[full,random]", "unlearn.lr=1e-3"
    plain = planned(tmp_path, *options)
    two = planned(tmp_path, *options, *TAUGHT, *UNLEARN, "resources.trial.gpus=0.5")
    assert plain.stages.retained(1).key == two.stages.retained(1).key
    assert plain.stages.injected(1, 0.1).key != two.stages.injected(1, 0.1).key, "other bits"
    assert {s.workers for s in two.setup() if s.kind == "injected"} == {2}
    alone = planned(tmp_path, *options, *UNLEARN)
    cells = Cell(0.1, "npo", "full"), Cell(0.1, "npo", "random")
    old, new = ([p.stages.trial(c, 1e-3, 1, "test") for c in cells] for p in (plain, alone))
    assert [stage.workers for stage in new] == [2, 0]
    assert [a.key == b.key for a, b in zip(old, new, strict=True)] == [False, True]
    assert [two.stages.trial(c, 1e-3, 1, "test").gpus for c in cells] == [2, 0.5]


def test_memory_and_time_of_a_spread_trial(tmp_path: Path) -> None:
    size = Size(model=1000, values=100, region=10, layers=2)
    npo, rmu = Cell(0.1, "npo", "full"), Cell(0.1, "rmu", "full")
    planner = planned(tmp_path, "scenarios=[full]", *UNLEARN, "unlearn.train.save_every=2")
    costs = Costs(planner.stages, size)

    def memory(cell: Cell, purpose: str) -> float:
        return costs.memory(planner.stages.trial(cell, 1e-3, 1, purpose))

    assert memory(npo, "search") == 10_000 + 4_000, "the start of the mixing curve"
    assert memory(rmu, "search") == 10_000 + 2 * 4_000, "and the model as it was"
    assert memory(npo, "test") == 16_000 + 3 * 4_000, "attacks are not spread"
    spread = planner.stages.trial(npo, 1e-3, 1, "test")
    assert costs.disk(spread) == 12_000 and 0 < costs.shared(spread) < costs.flop(spread)

    def hours(*overrides: str) -> tuple[float, float, str]:
        estimate = estimate_study(
            planned(tmp_path, "scenarios=[full]", "resources.trial.gpus=1", *overrides)
        )
        row = estimate.row("test")
        return row.seconds, row.gpu_seconds, estimate.text()

    one, used, told = hours()
    both, paid, said = hours(*UNLEARN)
    assert one / 2 < both < one == used and paid == 2 * both
    assert "run on one device" in said and "run on one device" not in told


@pytest.mark.parametrize(
    ("name", "wrapper", "region"),
    [("restore", "", False), ("pdu", "", False), ("memflex_lora", "", False)]
    + [("npo", "sam", False), ("npo", "", True)],
)
def test_what_is_more_than_a_loss_over_all_weights_is_refused(
    name: str, wrapper: str, region: bool
) -> None:
    model = tiny_model()
    weights = RegionWeights(model, tiny_region(model)) if region else AllWeights(model)
    around = [WRAPPERS[wrapper](WRAPPERS[wrapper].Config())] if wrapper else []
    with pytest.raises(UserError, match="use scenario full" if region else "use one device"):
        unlearn(
            model,
            weights,
            OBJECTIVES[name](OBJECTIVES[name].Config()),
            UnlearnData(TEXTS, TEXTS),
            TrainConfig(steps=1),
            0,
            wrappers=around,
            retained=tiny_model(),
            parallel=Parallel(zero=2, workers=2),
        )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([ZERO3], "parallel.zero=3 with one worker saves nothing"),
        (["retained.recipe.parallel.workers=2"], "need parallel.zero=2 or 3"),
        (
            [ZERO3, "retained.recipe.parallel.workers=4", "resources.retained.gpus=2"],
            "resources.retained.gpus=2: retained.recipe.parallel.workers=4 take a GPU each: set",
        ),
        (
            [ZERO3, "retained.recipe.parallel.workers=2", "model.dtype=float64"],
            "model.dtype=float64: retained.recipe.parallel.zero needs float32 or bfloat16",
        ),
        (
            [ZERO3, "retained.recipe.parallel.workers=2", *MASKED],
            "retained.recipe.parallel.zero: protocol lacuna trains on one device",
        ),
        ([*TAUGHT], "inject.parallel.zero: a region is planted on one device: drop it, or use"),
        (
            [*TAUGHT, "protocol=full", "scenarios=[full]", "resources.injected.gpus=1"],
            "resources.injected.gpus=1: inject.parallel.workers=2 take a GPU each: set it to 2",
        ),
        (
            [*UNLEARN, "scenarios=[oracle]"],
            "unlearn.parallel.zero: only scenario full trains all weights: add it, or drop this",
        ),
        (
            [*UNLEARN, "scenarios=[full]", "resources.trial.gpus=4"],
            "resources.trial.gpus=4: unlearn.parallel.workers=2 take a GPU each: set it to 2",
        ),
        *(
            (
                [
                    *UNLEARN,
                    "scenarios=[full]",
                    f"objectives=[npo,{name.replace('[+]', '+')}]",
                    "unlearn.lr=1e-3",
                ],
                f"unlearn.parallel.zero: objective '{name}' is more than a loss",
            )
            for name in ("restore", "pdu", "memflex_lora", "npo[+]sam")
        ),
    ],
)
def test_a_study_that_cannot_be_spread_is_refused_before_it_starts(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        planned(tmp_path, *overrides)
    assert "\n" not in str(caught.value)


def test_a_missing_deepspeed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require_deepspeed()
    monkeypatch.setattr("lacuna.train.zero.find_spec", lambda _: None)
    with pytest.raises(UserError, match="needs DeepSpeed, which is not installed here"):
        require_deepspeed()
