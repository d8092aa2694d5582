"""The package of `docs/extending.md`, installed: one more of each kind, no file of ours changed."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT
from support.plugins import documented, install
from support.stores import new_database
from support.studies import results, sweeps

from sweeps.__main__ import main

STUDY = [
    "study=smoke", "data=colours", "data.people=8", "seeds=[1]", "search.seeds=[0]",
    "objectives=[capped_ga+calm]", "scenarios=[oracle,steepest]", "localizers=[steepest,norm]",
    "+attack.extra.jitter.sigma=0.02", "protocol=longer",
]  # fmt: skip
SMALL = [
    "resources.workers=1", "model.mini.hidden=16", "model.mini.layers=2", "model.mini.heads=2",
    "model.mini.intermediate=32", "model.mini.vocabulary=300", "model.pretrain.steps=2",
    "retained.recipe.train.steps=4", "inject.train.steps=4", "unlearn.train.steps=3",
    "evaluate.alphas=3", "evaluate.retain_items=4", "evaluate.utility_items=2",
    "evaluate.new_tokens=2", "attack.train.steps=1", "attack.bits=[]",
]  # fmt: skip
PLAN = """
import json, sys
from sweeps.config.compose import configure
from sweeps.plan.estimate import estimate_study
from sweeps.plan.make import make_planner

for words in json.loads(sys.argv[1]):
    planner = make_planner(configure(words))
    cell = planner.searched()[0]
    assert planner.rates.candidates(cell) == [1e-3, 4e-3], "the class brings its rates"
    trial = planner.stages.trial(cell, 1e-3, 1, "test")
    print(estimate_study(planner).text())
    print(words[0], trial.params["attack"].get("extra"), trial.params["options"])
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    install(folder, "my-lacuna", *documented())
    return folder


def test_every_study_can_be_planned_with_an_objective_and_data_from_outside(package: Path) -> None:
    others = ["mini", "lacuna-faithful", "table1", "table3", "figure1"]
    plain = ["model=mini", "data=colours", "data.people=40", "objectives=[capped_ga]"]
    plans = [STUDY, *([f"study={name}", *plain] for name in others)]
    artifacts = f"artifacts={package / 'none'}"
    done = subprocess.run(
        [sys.executable, "-c", PLAN, json.dumps([[*words, artifacts] for words in plans])],
        env={"PYTHONPATH": f"{ROOT}:{package}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        cwd=package,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "data colours: 2 forget questions about 2 people" in done.stdout
    said = done.stdout.splitlines()
    options = "{'retain_weight': 1.0, 'retain': 'nll', 'cap': 8.0}"
    assert f"study=smoke {{'jitter': {{'sigma': 0.02}}}} {options}" in said
    for name in others:  # an attack is in no key where it was not asked for
        assert f"study={name} None {options}" in said


def test_a_study_runs_with_one_more_of_each_kind(package: Path, tmp_path: Path) -> None:
    path = f"{ROOT}:{package}"
    new_database(tmp_path / "a" / "mlflow.db")
    done = sweeps(tmp_path, *STUDY, *SMALL, "artifacts=a", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr

    found = results(tmp_path / "a")
    trials = [one for one in found if one.kind == "trial" and one.summary["purpose"] == "test"]
    assert {one.summary["scenario"] for one in trials} == {"oracle", "steepest"}
    for one in trials:
        (jitter,) = [a for a in one.summary["attacks"] if a["attack"] == "jitter"]
        assert (
            jitter["n_others"] == 2 and jitter["others_logp_after"] != jitter["others_logp_before"]
        )
        items = json.loads((one.folder / "items.json").read_text())
        assert len(items["forget"]["first_token"]) == 2
        assert 0 <= one.summary["metrics"]["retain"]["first_token"] <= 1
    assert {one.summary["steps"] for one in found if one.kind == "injected"} == {8}, "longer"
    surveys = [one for one in found if one.kind == "localized"]
    assert any((one.folder / "steepest.safetensors").is_file() for one in surveys)

    study = tmp_path / "a" / "smoke"
    with (study / "tables" / "lengths.csv").open() as stream:
        assert [row["questions"] for row in csv.DictReader(stream)] == ["2", "2"]
    with (study / "tables" / "metrics.csv").open() as stream:
        assert "first_token" in {row["metric"] for row in csv.DictReader(stream)}
    verdict = json.loads((study / "verdict.json").read_text())
    assert "kept: all" in {claim["claim"] for claim in verdict}
    page = (study / "report" / "index.html").read_text()
    assert '<h2 id="lengths">' in page and "<strong>Forget strength</strong>" in page


def test_without_the_package_its_names_are_unknown_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["study=smoke", "data=colours"]) == 2
    said = capsys.readouterr().err
    assert "unknown data 'colours'" in said and len(said.splitlines()) == 1


def test_a_broken_package_stops_the_command_in_one_line(tmp_path: Path) -> None:
    points = {"lacuna.objectives": {"broken": "broken_methods"}}
    install(tmp_path, "broken-methods", points, {"broken_methods": "import no_such_module\n"})
    done = sweeps(tmp_path, "study=smoke", "plan=true", PYTHONPATH=f"{ROOT}:{tmp_path}")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "package broken-methods" in line and "No module named 'no_such_module'" in line
