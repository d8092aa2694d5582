"""A camouflaged injection and the gauge test as stages of a study."""

from typing import Any

import pytest
import torch
from support.studies import planned
from support.walk import Walk

from lacuna.data.tokens import Prompt
from lacuna.model import load_model
from lacuna.region import load_vectors
from lacuna.region.gauge import lengths
from lacuna.results.files import REGION
from sweeps.stage import Stage

TINY = [
    "seeds=[1]", "objectives=[npo]", "scenarios=[oracle,random]", "localizers=[norm,snip]",
    "unlearn.lr=1e-2", "model.mini.hidden=32", "model.mini.layers=1", "model.mini.intermediate=64",
    "model.pretrain.steps=2", "retained.recipe.train.steps=2", "inject.train.steps=4",
    "inject.train.lr=3e-2", "evaluate.retain_items=4", "evaluate.utility_items=2",
    "evaluate.new_tokens=2", "inject.gauge=retained", "evaluate.rescalings=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    return Walk(planned(*TINY), tmp_path_factory.mktemp("walk"))


def of(walk: Walk, kind: str) -> tuple[Stage, dict[str, Any]]:
    (stage,) = (s for s in walk.known.values() if s.kind == kind and "seed=1" in s.label + "seed=1")
    return stage, walk.run(stage)


def test_a_camouflaged_model_is_the_retained_one_but_for_its_region_and_partner_rows(
    walk: Walk,
) -> None:
    stage, summary = of(walk, "injected")
    assert stage.params["inject"]["gauge"] == "retained"
    assert summary["outside_equal"] and summary["leak"]["passed"]
    assert summary["forget_es"] == pytest.approx(summary["plain_forget_es"], abs=1e-6)
    folders = (walk.folder(stage), walk.root / stage.inputs["retained"])
    injected, retained = (load_model(f, prompt=Prompt(), device="cpu").model for f in folders)
    before, after = lengths(retained), lengths(injected)
    region = load_vectors(walk.folder(stage) / REGION, walk.planner.layout)
    state = injected.state_dict()
    moved = {n for n, tensor in retained.state_dict().items() if not tensor.equal(state[n])}
    assert {name.split(".")[-2] for name in moved} == {"down_proj", "up_proj"}
    for name, chosen in region.by_module().items():
        torch.testing.assert_close(after[name], before[name], rtol=1e-5, atol=1e-7)
        up = f"{name.removesuffix('down_proj')}up_proj.weight"
        differs = (retained.state_dict()[up] != state[up]).any(dim=1)
        assert not bool((differs & ~chosen).any()) and bool((differs & chosen).any())


def test_a_survey_asks_again_in_other_gauges_and_only_where_the_study_wants_it(walk: Walk) -> None:
    (survey,) = (s for s in walk.known.values() if s.params.get("rescalings"))
    assert survey.params["rescalings"] == 2
    found = {row["localizer"]: row["gauge"] for row in walk.run(survey)["localizers"]}
    assert [len(found[name]["random"]) for name in ("norm", "snip")] == [2, 2]
    assert min(one["rank_correlation"] for one in found["snip"]["random"]) > 0.9999
    assert max(one["rank_correlation"] for one in found["norm"]["random"]) < 0.99
    plain = planned(*TINY[:-2])
    assert not any("rescalings" in stage.params for stage in plain.setup())
    assert "gauge" not in plain.stages.injected(1, 0.1).params["inject"]
