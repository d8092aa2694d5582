"""`plan=true`: numbers that can be checked by hand, and no trace left behind."""

import re
from pathlib import Path

import pytest
import torch
from support.stores import new_database
from transformers import LlamaConfig, LlamaForCausalLM

from sweeps.config.compose import configure
from sweeps.plan.costs.memory import Size
from sweeps.plan.costs.stages import Costs
from sweeps.plan.estimate import ROWS, estimate_study
from sweeps.plan.make import make_planner
from sweeps.plan.planner import Planner
from sweeps.plan.stages import Cell
from sweeps.stage import Stage
from sweeps.store.local import LocalStorage
from sweeps.store.store import Store
from sweeps.tracking.client import connect


def planned(tmp_path: Path, *overrides: str) -> Planner:
    return make_planner(configure(["study=smoke", f"artifacts={tmp_path / 'a'}", *overrides]))


def rows(text: str) -> dict[str, list[str]]:
    """The table by its first column."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}


def test_the_plan_counts_stages_and_leaves_no_file(tmp_path: Path) -> None:
    text = estimate_study(planned(tmp_path)).text()
    table = {kind: row for kind, row in rows(text).items() if kind in (*ROWS, "total")}
    found = {kind: int(row[0]) for kind, row in table.items()}
    assert found == {
        "base": 1,
        "retained": 1,
        "injected": 3,
        "localized": 8,
        "search": 16,
        "test": 16,
        "control": 4,
        "total": 49,
    }
    assert "32 (16 to find the rates of 8 of 8 cells, 16 tests)" in text
    assert "12 forget questions about 2 people, 24 retain questions about 4 people" in text
    assert len(text.splitlines()) <= 25
    assert list(tmp_path.iterdir()) == []


def test_further_random_regions_are_counted(tmp_path: Path) -> None:
    text = estimate_study(planned(tmp_path, "regions=3")).text()
    found = {kind: int(row[0]) for kind, row in rows(text).items() if kind in ROWS}
    # two test seeds, two objectives: two more places of each seed, unlearned by both
    assert (found["localized"], found["injected"]) == (8 + 4, 3)
    assert (found["search"], found["test"]) == (16, 16 + 8)


def test_hours_follow_from_the_stated_rate_and_gpu_hours_from_the_gpus(tmp_path: Path) -> None:
    def hours(*overrides: str) -> tuple[float, float]:
        text = estimate_study(planned(tmp_path, *overrides)).text()
        stages = re.search(r"compute: (\S+) hours", text)
        gpu = re.search(r"GPU-hours: (\S+)", text)
        assert stages and gpu
        return float(stages[1]), float(gpu[1])

    slow, none = hours("resources.flops=1e9")
    fast, half = hours("resources.flops=1e10", "resources.gpus=0.5")
    assert none == 0
    assert slow == pytest.approx(10 * fast, rel=0.01)
    assert half == pytest.approx(fast / 2, rel=0.01)


def test_kinds_with_gpus_of_their_own_are_counted_with_those(tmp_path: Path) -> None:
    options = "resources.flops=1e9", "resources.trial.gpus=0.5", "resources.control.gpus=0.25"
    text = estimate_study(planned(tmp_path, *options)).text()
    hours = {kind: float(row[3]) for kind, row in rows(text).items() if kind in ROWS}
    wanted = 0.5 * (hours["search"] + hours["test"]) + 0.25 * hours["control"]
    found = re.search(r"GPU-hours: (\S+)", text)
    assert found and float(found[1]) == pytest.approx(wanted, rel=0.02)


def test_a_searcher_is_counted_by_its_budget(tmp_path: Path) -> None:
    text = estimate_study(planned(tmp_path, "search.method=optuna", "search.trials=7")).text()
    assert "72 (56 to find the rates of 8 of 8 cells, 16 tests)" in text


def test_rungs_are_counted_and_make_a_search_cheaper(tmp_path: Path) -> None:
    grid = "unlearn.train.steps=90", "+unlearn.lrs.oracle.npo=[1,2,3,4,5,6,7,8,9]"
    alone = "objectives=[npo]", "scenarios=[oracle]", "resources.flops=1e6", *grid
    whole, halved = (
        rows(estimate_study(planned(tmp_path, *alone, f"search.rungs={rungs}")).text())["search"]
        for rungs in (0, 2)
    )
    assert (whole[0], halved[0]) == ("9", "13")  # 9 of 10 steps, 3 of 30, 1 of 90
    assert float(halved[3]) < 0.6 * float(whole[3])
    options = "search.method=optuna", "search.trials=7", "search.rungs=1"
    text = estimate_study(planned(tmp_path, "unlearn.train.steps=9", *options)).text()
    assert "96 (80 to find" in text  # rounds of 4 and 3 rates: two and one go on


def test_a_model_folder_is_measured_without_its_weights(tmp_path: Path) -> None:
    shape = {"hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 2, "vocab_size": 50}
    config = LlamaConfig(num_attention_heads=2, num_key_value_heads=2, **shape)
    config.save_pretrained(tmp_path / "llama")
    with torch.device("meta"):
        parameters = LlamaForCausalLM(config).num_parameters()
    text = estimate_study(
        planned(tmp_path, f"model.source={tmp_path / 'llama'}", "plan=true")
    ).text()
    assert f"{parameters:,} parameters" in text
    assert "a region is 8 of 80 value vectors, 128 weights" in text
    assert rows(text)["base"][1:4] == ["0", "0.0e+00", "0"]  # a pointer to the folder, no training


def stage(planner: Planner, scenario: str, purpose: str, objective: str = "npo") -> Stage:
    return planner.stages.trial(Cell(0.1, objective, scenario), 1e-2, 1, purpose)


def test_memory_is_what_the_optimizer_needs(tmp_path: Path) -> None:
    size = Size(model=1000, values=300, region=30, layers=3)
    planner = planned(tmp_path)
    costs = Costs(planner.stages, size)
    assert costs.memory(planner.stages.retained(1)) == 16 * 1000
    assert costs.memory(planner.stages.injected(1, 0.1)) == 4 * 1000 + 16 * 30
    assert costs.memory(stage(planner, "oracle", "search")) == 4 * 1000 + 16 * 30
    # the start of the mixing curve is a copy; so is the model as it was, where anything asks it
    assert costs.memory(stage(planner, "full", "search")) == 16 * 1000 + 4 * 1000
    assert costs.memory(stage(planner, "full", "search", "rmu")) == 16 * 1000 + 2 * 4 * 1000
    assert costs.memory(stage(planner, "oracle", "search", "rmu")) == 4 * 1000 + 16 * 30
    # attacks train all weights, so a test trial needs more than its unlearning
    assert costs.memory(stage(planner, "oracle", "test")) == 16 * 1000 + 4 * 1000
    assert costs.memory(stage(planner, "full", "test")) == 16 * 1000 + 3 * 4 * 1000

    half = planned(tmp_path, "model.dtype=bfloat16")
    costs = Costs(half.stages, size)
    assert costs.memory(half.stages.retained(1)) == 18 * 1000
    assert costs.memory(stage(half, "oracle", "search")) == 2 * 1000 + 16 * 30
    assert costs.disk(half.stages.injected(1, 0.1)) == 2 * 1000
    assert costs.disk(stage(half, "oracle", "test")) == 0


def test_training_work_is_proportional_to_steps_and_weights(tmp_path: Path) -> None:
    def work(scenario: str, steps: int, weights: int = 1000) -> float:
        planner = planned(tmp_path, f"unlearn.train.steps={steps}")
        costs = Costs(planner.stages, Size(weights, 300, 30, 3))
        return costs.flop(stage(planner, scenario, "search"))

    rest = work("oracle", 0)
    region, full = work("oracle", 10) - rest, work("full", 10) - rest
    assert work("oracle", 20) - rest == pytest.approx(2 * region)
    assert work("oracle", 10, 2000) == pytest.approx(2 * work("oracle", 10))
    assert full / region == pytest.approx(6 / 4)  # npo's reference is read before the first step


def test_results_that_are_in_the_store_cost_nothing(tmp_path: Path) -> None:
    planner = planned(tmp_path, "seeds=[1]", "unlearn.lr=1e-2")
    artifacts = tmp_path / "a"
    client = connect(new_database(artifacts / "mlflow.db"))
    from sweeps.store.mlflow_coordinator import MlflowCoordinator

    storage = LocalStorage(artifacts / "checkpoints")
    store = Store(storage, MlflowCoordinator(client, storage.identity()))
    base = planner.stages.base()
    store.produce(base, lambda inputs, out: {"steps": 0})
    before = {path: path.stat().st_mtime_ns for path in artifacts.rglob("*")}
    table = rows(estimate_study(planner).text())
    assert table["base"][:3] == ["1", "1", "0.0e+00"]
    assert table["retained"][:2] == ["1", "0"] and table["total"][1] == "1"
    assert {path: path.stat().st_mtime_ns for path in artifacts.rglob("*")} == before


def test_localizers_that_try_vectors_or_paths_are_counted(tmp_path: Path) -> None:
    def work(*localizers: str) -> float:
        planner = planned(tmp_path, f"localizers=[{','.join(localizers)}]")
        costs = Costs(planner.stages, Size(1000, 300, 30, 3))
        return costs.flop(planner.survey(1, 0.1))

    shared = work("snip")
    assert work("norm") == 0 < shared == work("snip", "gradient")  # one gradient for both
    forward, path = work("snip", "zero_out") - shared, work("integrated_gradients")
    assert forward / path == pytest.approx(2 * 256 / (4 * 3 * 20))
