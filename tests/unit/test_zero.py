"""Training over several devices, as far as one process can tell: shares, bytes, refusals."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_model, tiny_texts

from lacuna.errors import UserError
from lacuna.train import Parallel, Share, language_loss
from lacuna.train.zero import device_bytes, require_deepspeed
from sweeps.configure import configure
from sweeps.costs import Costs, Size
from sweeps.plan import Planner, make_planner

TEXTS = tiny_texts(7)
ZERO3 = "retained.recipe.parallel.zero=3"


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_the_mean_over_all_shares_is_the_loss_and_gradient_of_the_batch(workers: int) -> None:
    """Batches of 4, 3 and, for 5 workers, fewer rows than workers; answers of unequal length."""

    def gradient(share: Share, batch: int) -> tuple[float, torch.Tensor]:
        model = tiny_model(dtype=torch.float64).requires_grad_(True)
        loss = language_loss(model, TEXTS, 4, 3, share)(batch).value
        loss.backward()
        return loss.item(), torch.cat([w.grad.flatten() for w in model.parameters()])

    for batch in (0, 1):
        loss, whole = gradient(Share(), batch)
        parts = [gradient(Share(rank, workers), batch) for rank in range(workers)]
        assert sum(part[0] for part in parts) / workers == pytest.approx(loss, rel=1e-12)
        mean = torch.stack([part[1] for part in parts]).mean(dim=0)
        torch.testing.assert_close(mean, whole, rtol=1e-4, atol=1e-6)  # float32 norms


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
    assert plain.retained(1).key != sharded.retained(1).key, "other bits"
    assert plain.base().key == sharded.base().key
    size = Size(model=1000, values=100, region=10, layers=2)
    memory = [Costs(p.plain, p.corpus, size).memory(p.retained(1)) for p in (plain, sharded)]
    assert memory == [16_000, 5_000]


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
