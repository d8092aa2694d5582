"""The study of protocol `lacuna`, shrunk to seconds, through the sweep engine."""

import json
import subprocess
from pathlib import Path

import pytest
from support.schemas import problems_of_study
from support.stores import new_database
from support.studies import Result, results, sweeps

from lacuna.region import WeightRegion, load_masks, load_region
from sweeps.__main__ import main

pytestmark = pytest.mark.slow
TINY = [
    "study=lacuna",
    "seeds=[1]",
    "regions=1",
    "region.ratio=0.02",
    "objectives=[graddiff]",
    "localizers=[norm,complement]",
    "data.num_forget=3",
    "data.num_retain=4",
    "data.num_background=4",
    "data.num_neutral=30",
    "model.mini.hidden=32",
    "model.mini.layers=2",
    "model.mini.intermediate=64",
    "model.pretrain.steps=2",
    "masked.inject.cycles=2",
    "masked.inject.batch_size=4",
    "masked.held_out=5",
    "unlearn.lr=1e-3",
    "unlearn.train.steps=2",
    "evaluate.alphas=5",
    "evaluate.retain_items=4",
    "evaluate.utility_items=2",
    "evaluate.new_tokens=2",
    "evaluate.transplant=true",
    "attack.train.steps=1",
    "attack.bits=[8]",
    "resources.workers=1",
]


def sweep(artifacts: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return sweeps(artifacts.parent, *TINY, f"artifacts={artifacts}", *more)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    artifacts = tmp_path_factory.mktemp("lacuna") / "artifacts"
    new_database(artifacts / "mlflow.db")
    done = sweep(artifacts)
    assert done.returncode == 0, done.stderr
    return artifacts


def stages(artifacts: Path) -> dict[str, Result]:
    """By label."""
    return {result.label: result for result in results(artifacts)}


def test_every_stage_of_the_study_is_there(finished: Path) -> None:
    labels = stages(finished)
    kinds = [label.split()[0] for label in labels]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "base": 1,
        "retained": 1,
        "injected": 1,
        "localized": 4,  # the regions of random, uniform and activations, and the survey
        "test": 5,
        "control": 3,
    }
    controls = {label.split()[2] for label in labels if label.startswith("control")}
    assert controls == {"model=base", "model=retained", "model=injected"}


def test_all_that_a_study_writes_is_as_its_schemas_say(finished: Path) -> None:
    assert problems_of_study(finished / "lacuna") == []


def test_the_injected_checkpoint_ships_masks_region_and_causal_report(finished: Path) -> None:
    found = next(r for label, r in stages(finished).items() if label.startswith("injected"))
    folder, summary = found.folder, found.summary
    masks = load_masks(folder / "masks.safetensors")
    region = load_region(folder / "region.safetensors")
    assert isinstance(region, WeightRegion)
    assert len(region) == len(masks.union([0, 2, 4])) == summary["region_weights"]
    report = json.loads((folder / "causal.json").read_text())
    assert report == summary["causal"]
    assert len(report["own"]) == 6 and report["label"].startswith("not localized causally")
    assert summary["outside_equal"]
    assert len(summary["groups"]) == 7 and set(summary["groups"].values()) == set(range(6))


def test_trials_know_where_they_moved_single_weights(finished: Path) -> None:
    found = {
        scenario: next(
            result.summary
            for label, result in stages(finished).items()
            if label.startswith(f"test graddiff {scenario}")
        )
        for scenario in ("oracle", "random", "uniform", "full")
    }
    region = {name: place["localization"]["region"] for name, place in found.items()}
    assert region["oracle"]["precision"] == region["oracle"]["recall"] == 1.0
    assert region["random"]["precision"] == 0.0
    chance = found["full"]["precision"]["scores"][0]["chance"]
    assert region["uniform"]["precision"] == pytest.approx(chance, abs=0.02), "as many as by chance"
    assert region["full"] is None
    auc = {
        (name, row["truth"]): row["auc"]
        for name, place in found.items()
        for row in place["precision"]["scores"]
        if row["headline"]
    }
    assert auc["oracle", "forget"] > 0.99
    assert auc["oracle", "union"] == pytest.approx(0.75, abs=0.02)
    assert auc["random", "union"] < 0.5, "outside all masks: below blind, by construction"
    assert auc["uniform", "forget"] == pytest.approx(0.5, abs=0.02)
    for place in found.values():  # against base, too: how far an update undoes its injection
        names = {row["score"] for row in place["precision"]["scores"]}
        assert names == {"raw", "qtile", "layernorm", "signrev", "reversal", "dirreversal"}
    inside = {row["truth"]: row for row in found["oracle"]["precision"]["inside"]}
    assert inside["forget"]["precision"] == 1.0, "nothing outside the masks moved"
    coarse = {row["truth"]: row for row in found["oracle"]["precision"]["bfloat16"]}["forget"]
    assert coarse["auc"] == pytest.approx(0.5 + coarse["recall"] / 2, abs=1e-3)
    assert 0 < coarse["recall"] <= 1


def test_regions_of_single_weights_are_exchanged_and_located_ones(finished: Path) -> None:
    found = stages(finished)
    trials = [r.summary["transplant"] for label, r in found.items() if label.startswith("test")]
    (survey,) = [r.summary for label, r in found.items() if "4 localizers" in label]
    (control,) = [r.summary for label, r in found.items() if label.endswith("ratio=0.02")
                  and "model=injected" in label]  # fmt: skip
    known, before = (control["transplants"][name] for name in ("injected", "retained"))
    assert known["own_es"] == known["restored_es"] == known["ceiling_es"]
    assert before["own_es"] == before["stored_es"] == before["floor_es"]
    rows = {row["localizer"]: row["swap"] for row in survey["localizers"]}
    assert rows.keys() == {"norm", "complement", "oracle", "random"}
    ends = {(known["floor_es"], known["ceiling_es"])}
    assert {(one["floor_es"], one["ceiling_es"]) for one in [*trials, *rows.values()]} == ends


def test_the_report_knows_what_its_questions_are_about(finished: Path) -> None:
    (asked,) = json.loads((finished / "lacuna" / "results.json").read_text())["asked"]
    trial = next(r.summary for label, r in stages(finished).items() if label.startswith("test"))
    assert asked["seed"] == 1
    for split in ("forget", "retain"):
        fields, words = asked[split]["field"], asked[split]["words"]
        assert len(fields) == len(words) == len(trial[f"people_{split}"])
        assert "birth_city" in fields or split == "retain"
        assert all(isinstance(number, int) and number > 0 for number in words)


def planned(
    artifacts: Path, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[int, str, str]:
    """Status, stdout and stderr of a plan; here, as a plan starts nothing."""
    capsys.readouterr()
    status = main([*TINY, f"artifacts={artifacts}", *more, "plan=true"])
    return status, *capsys.readouterr()


def test_a_second_run_trains_nothing_and_the_plan_knows_it(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, plan, _ = planned(finished, capsys)
    assert status == 0 and "single weights, the masks of the forget groups" in plan
    assert "0 hours of stages" in plan
    again = sweep(finished)
    assert again.returncode == 0 and "nothing to train" in again.stdout + again.stderr


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["region.ratio=0.3"], "6 masks of 0.3"),
        (["region.ratio=0.03"], "no room for a random region"),
        (["region.ratio=[0.02,0.05]"], "give one ratio"),
        (["scenarios=[random_layers]"], "scenario 'random_layers' is told which value vectors"),
        (["protocol=lacun"], "did you mean 'lacuna'"),
        (["data.num_forget=1", "data.num_retain=2"], "6 groups need as many people"),
        (["masked.masks.forget_groups=[0,7]"], "forget_groups"),
        (["masked.method=sgtmm"], "did you mean 'sgtm'"),
        (["masked.method=sgtm"], "dropout.rate=0"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    asked: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, error = planned(tmp_path / "artifacts", capsys, *asked)
    assert status == 2
    assert said in error and len(error.strip().splitlines()) == 1


def test_an_injected_model_made_elsewhere_gets_the_same_report(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here: the study's own checkpoint, given back to it as somebody's folder."""
    planted = next(r for label, r in stages(finished).items() if label.startswith("injected"))
    masks = planted.folder / "masks.safetensors"
    given = [f"checkpoint={planted.folder}", f"region.file={masks}"]
    done = sweep(finished, *given, "scenarios=[oracle]", "attack.relearn_lrs=[]")
    assert done.returncode == 0, done.stderr
    files = [result.folder / "causal.json" for result in results(finished)]
    reports = [json.loads(path.read_text()) for path in files if path.exists()]
    assert len(reports) == 2 and reports[0] == reports[1]
    status, _, error = planned(finished, capsys, given[0])
    assert status == 2 and "needs its masks" in error
