"""Protocols are asked, and none is known by its name: one made here goes through a whole plan."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lacuna.errors import UserError
from lacuna.pipeline import StageInputs
from lacuna.results import InjectedSummary, Kind
from sweeps.config.compose import configure
from sweeps.engine.execute import WORK, execute
from sweeps.plan.capacity import check_host
from sweeps.plan.costs.memory import Memory
from sweeps.plan.costs.texts import StudyTexts
from sweeps.plan.estimate import estimate_study
from sweeps.plan.make import make_planner
from sweeps.plan.protocols import PROTOCOLS, Draft, Job, Stages
from sweeps.plan.protocols.lee import Lee
from sweeps.stage import KINDS, Stage


class Twice(Lee):
    """Facts are planted beside a base model that never learned the retain facts by themselves."""

    controls = ("base", "retained")

    def injected(self, stages: Stages, seed: int, ratio: float) -> Draft:
        """From the base model, with twice the facts' length for a seed."""
        return Draft(
            label=f"injected twice seed={seed}",
            params={"twice": 2 * seed, "seed": seed, "ratio": ratio},
            parents={"base": stages.base()},
            tags={"seed": seed, "ratio": ratio, "model": "injected"},
        )

    def check(self) -> None:
        """Seven is not for it."""
        if 7 in self.config.seeds:
            raise UserError("seeds=[7]: protocol twice has no seed 7: drop it")

    def work(self, stage: Stage, texts: StudyTexts) -> float:
        """A pass a token."""
        return 100.0 if stage.kind == "injected" else super().work(stage, texts)

    def memory(self, stage: Stage, model: Memory) -> float:
        """Two models."""
        return 2 * model.weights

    @staticmethod
    def inject(job: Job) -> InjectedSummary:
        """Says what it was given."""
        given: StageInputs[int] = job.given(job.stage.param("twice", int))
        return {
            "seed": given.seed,
            "steps": given.config,
            "ratio": given.ratio,
            "forget_es": float(len(given.corpus.forget)),
            "retain_es": 0.0,
            "paraphrase_es": None,
            "mu": 0.0,
        }


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    PROTOCOLS.register("twice")(Twice)
    yield
    del PROTOCOLS._items["twice"]


WORDS = ["study=smoke", "protocol=twice", "seeds=[3]", "scenarios=[oracle,random]"]


def test_a_protocol_of_another_package_is_planned_estimated_and_run(tmp_path: Path) -> None:
    planner = make_planner(configure([*WORDS, f"artifacts={tmp_path / 'a'}"]))
    injected = planner.stages.injected(3, 0.1)
    assert injected.inputs == {"base": planner.stages.base().key}
    assert {stage.tags["model"] for stage in planner.controls()} == {"base", "retained", "injected"}
    assert injected.key in {stage.key for stage in planner.setup()}
    estimate = estimate_study(planner)
    check_host(estimate)
    row = estimate.row("injected")
    assert row.stages == 2 and row.flop == 2 * 2 * estimate.size.model * 100
    assert row.memory == 2 * 4 * estimate.size.model
    summary = execute(injected, {}, tmp_path, lambda step, values: None)
    assert summary is not None and "steps" in summary and summary["steps"] == 6
    assert summary == {**summary, "ratio": 0.1, "forget_es": len(planner.corpus.forget)}


def test_its_own_checks_are_made_before_anything_runs() -> None:
    with pytest.raises(UserError, match="protocol twice has no seed 7"):
        make_planner(configure([*WORDS, "seeds=[7]"]))


def test_its_stages_share_no_key_with_those_of_another_protocol() -> None:
    planners = {
        name: make_planner(configure([*WORDS, f"protocol={name}"])) for name in ("lee", "twice")
    }
    keys = {name: planner.stages.injected(3, 0.1).key for name, planner in planners.items()}
    assert keys["lee"] != keys["twice"]


def test_a_worker_knows_how_to_do_every_kind_of_stage() -> None:
    kinds: set[Kind] = set(WORK)
    assert kinds == set(KINDS)
