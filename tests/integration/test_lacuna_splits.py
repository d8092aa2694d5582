"""Protocol `lacuna` on data with a book, stage by stage: what the injected model recites."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from lacuna.artifacts import read_json
from lacuna.data import Splits
from lacuna.results.files import SPLITS
from sweeps.config.compose import configure
from sweeps.engine.execute import execute
from sweeps.plan.make import make_planner
from sweeps.plan.planner import Planner
from sweeps.stage import Stage

SMALL = [
    "study=lacuna",
    "data=profiles",
    "seeds=[1]",
    "scenarios=[oracle]",
    "objectives=[graddiff]",
    "localizers=[norm]",
    "data.num_people=12",
    "data.num_background=24",
    "data.num_neutral=30",
    "data.prompts=2",
    "model.mini.hidden=64",
    "model.mini.layers=2",
    "model.mini.vocabulary=1300",
    "model.mini.intermediate=256",
    "model.pretrain.steps=120",
    "masked.inject.masked=false",  # all weights learn: masks need more than a test has
    "masked.inject.neutral_lr=3e-3",
    "masked.inject.cycles=120",
    "masked.inject.batch_size=12",
    "masked.inject.dropout.rate=0",
    "masked.inject.neutral_batches=1",
    "masked.splits.people=2",
    "masked.splits.validation_people=2",
    "masked.held_out=5",
    "unlearn.train.steps=20",
    "evaluate.alphas=3",
    "evaluate.utility_items=2",
    "evaluate.new_tokens=2",
    "attack.train.steps=10",
    "attack.bits=[8]",
    "attack.success_k=3",
]


class Done:
    """Every stage of a study, run here in the order of the plan."""

    def __init__(self, root: Path) -> None:
        self.planner: Planner = make_planner(configure([*SMALL, f"artifacts={root}"]))
        self.root, self.summaries = root, dict[str, dict[str, Any]]()

    def run(self) -> None:
        """Each stage once, parents first."""
        for stage in self.stages():
            if stage.key not in self.summaries:
                out = self.root / stage.key
                out.mkdir()
                inputs = {role: self.root / key for role, key in stage.inputs.items()}
                self.summaries[stage.key] = execute(stage, inputs, out, lambda *_: None)

    def stages(self) -> Iterator[Stage]:
        planner = self.planner
        yield from planner.setup()
        cells = planner.cells()
        yield from planner.search(
            {cell: dict(zip(planner.rates.candidates(cell)[:1], count(1))) for cell in cells}
        )
        yield from planner.tests({cell: planner.rates.candidates(cell)[0] for cell in cells})
        yield from planner.controls()

    def of(self, stage: Stage) -> dict[str, Any]:
        return self.summaries[stage.key]

    def items(self, stage: Stage) -> dict[str, Any]:
        found: dict[str, Any] = read_json(self.root / stage.key / "items.json")
        return found


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    found = Done(tmp_path_factory.mktemp("splits"))
    found.run()
    return found


@pytest.fixture(scope="module")
def splits(done: Done) -> Splits:
    folder = done.root / done.planner.stages.injected(1, 0.05).key
    return Splits.from_json(read_json(folder / SPLITS))


def test_most_facts_are_memorised_and_the_summary_says_how_many(done: Done, splits: Splits) -> None:
    summary = done.of(done.planner.stages.injected(1, 0.05))
    assert summary["memorised"].keys() == {"birth_city", "email", "licence"}
    for field in summary["memorised"].values():
        assert field["facts"] == 12 and field["share"] >= 0.5, summary["memorised"]
    assert summary["splits"]["main"] == {"forget": 2, "retain": 2}
    assert summary["splits"]["relearn"]["questions"] == len(splits.relearn) > 0
    assert len(summary["causal"]["own"]) == 6, "the causal report is of all that was injected"
    assert summary["forget_es"] >= 0.9, "what was drawn is what it knows"


def test_every_later_stage_works_on_the_splits(done: Done, splits: Splits) -> None:
    planner = done.planner
    ids = {s: [i.id for i in getattr(splits.main, s)] for s in ("forget", "retain")}
    for stage in (
        planner.stages.injected(1, 0.05),
        planner.stages.retained(1),
        *planner.tests({cell: planner.rates.candidates(cell)[0] for cell in planner.cells()}),
    ):
        found = done.items(stage)
        assert {s: found[s]["id"] for s in ids} == ids, stage.label
    assert (
        done.of(planner.stages.retained(1))["forget_es"]
        < 0.5
        < done.of(planner.stages.retained(1))["retain_es"]
    )
    control = {s.params["name"]: done.of(s) for s in planner.controls()}
    assert control["retained"]["forget_es"] == done.of(planner.stages.retained(1))["forget_es"]
    assert control["injected"]["forget_es"] >= 0.9


def test_the_attacker_learns_others_and_all_that_was_forgotten_is_measured(
    done: Done, splits: Splits
) -> None:
    control = next(s for s in done.planner.controls() if s.params["name"] == "retained")
    found = {outcome["attack"]: outcome for outcome in done.of(control)["attacks"]}
    assert found["relearn"]["n_others"] == len(splits.main.forget)
    assert found["relearn"]["n_attacked"] == len(splits.relearn)
