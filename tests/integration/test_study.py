"""A whole study, shrunk to seconds: what it writes, what it repeats, and how it fails."""

import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.needs import needs
from support.schemas import problems_of_study
from support.stores import new_database
from support.studies import results, sweeps

from lacuna.artifacts import digest
from lacuna.region import load_vectors
from lacuna.results.files import region_of
from sweeps.__main__ import main
from sweeps.tracking.client import connect

pytestmark = pytest.mark.slow
TINY = [
    "study=smoke",
    "seeds=[1]",
    "objectives=[npo]",
    "scenarios=[oracle,random]",
    "localizers=[norm,complement]",
    "model.mini.hidden=32",
    "model.mini.layers=1",
    "model.mini.intermediate=128",
    "model.pretrain.steps=2",
    "retained.recipe.train.steps=2",
    "inject.train.steps=3",
    "unlearn.train.steps=2",
    "evaluate.alphas=5",
    "evaluate.retain_items=4",
    "evaluate.utility_items=2",
    "evaluate.new_tokens=2",
    "evaluate.membership=true",
    "evaluate.representations=true",
    "attack.train.steps=1",
    "attack.bits=[8]",
    "resources.workers=1",
]
STAGES = {"base": 1, "retained": 1, "injected": 2, "localized": 3, "trial": 6, "control": 2}
"""Two injections: the tuning seed's and the test seed's. Trials: 4 to search, 2 to test."""


@dataclass(frozen=True)
class Run:
    """One finished process and the folder it wrote to."""

    artifacts: Path
    status: int
    out: str
    err: str

    @property
    def tables(self) -> dict[str, bytes]:
        """Name -> bytes of every table, and of the verdict."""
        folder = self.artifacts / "smoke"
        files = [*sorted((folder / "tables").iterdir()), folder / "verdict.json"]
        return {path.name: path.read_bytes() for path in files}


def study(artifacts: Path, *more: str) -> Run:
    done = sweeps(artifacts.parent, *TINY, f"artifacts={artifacts}", *more)
    return Run(artifacts, done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = study(tmp_path_factory.mktemp("first") / "artifacts")
    assert run.status == 0, run.err
    return run


def copied(run: Run, folder: Path) -> Path:
    """The same results in another place: no test disturbs another's."""
    return Path(shutil.copytree(run.artifacts, folder / "artifacts"))


def test_a_study_writes_its_report_tables_verdict_and_manifest(first: Run) -> None:
    folder = first.artifacts / "smoke"
    page = (folder / "report" / "index.html").read_text()
    assert "npo" in page and "oracle" in page
    assert {"main.csv", "main.json", "attacks.csv", "failures.csv"} <= first.tables.keys()
    assert b"failed" not in first.tables["main.csv"]
    assert json.loads(first.tables["verdict.json"])
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len(manifest["stages"]) == sum(STAGES.values())
    assert manifest["seeds"] == {"test": [1], "search": [0]}
    (plan,) = json.loads((folder / "registered.json").read_text())["plans"]
    assert manifest["registration"] == plan and plan["known"] == 0
    assert digest(plan["plan"]) == plan["sha256"] and plan["plan"]["seeds"] == [1]
    tests = [s for s in manifest["stages"] if manifest["stages"][s].startswith("test ")]
    written = (folder / "registered.json").stat().st_mtime_ns
    place = folder.parent / "checkpoints"
    assert tests and all(
        next(place.glob(f"*/{key}.*")).stat().st_mtime_ns > written for key in tests
    )
    assert f"report: {folder / 'report' / 'index.html'}" in first.out


def test_all_that_a_study_writes_is_as_its_schemas_say(first: Run) -> None:
    assert problems_of_study(first.artifacts / "smoke") == []


def test_inspections_reach_the_tables_and_leave_their_scores_item_by_item(first: Run) -> None:
    rows = json.loads(first.tables["inspections.json"])["rows"]
    cells = {(row["objective"], row["scenario"]) for row in rows}
    controls = {("control", "retained"), ("control", "injected")}
    assert cells == {("npo", "oracle"), ("npo", "random"), *controls}
    reference = {row["scenario"]: row["mean"] for row in rows if row["measure"] == "auc reference"}
    assert reference["retained"] == 0.5, "a model against itself"
    itself = [row["mean"] for row in rows if row["measure"] == "cka_retain_retained"]
    assert 1 in itself and any(value < 1 for value in itself)
    files = [result.folder / "membership.json" for result in results(first.artifacts)]
    files = [path for path in files if path.exists()]
    assert len(files) == 4, "two test trials and two controls; search trials are not inspected"
    scores = json.loads(files[0].read_text())
    assert len(scores["holdout"]["id"]) == len(scores["holdout"]["gradnorm"]) > 0


def test_each_distinct_injection_is_trained_exactly_once(first: Run) -> None:
    assert "trained 15 stages (2 injections for 2 distinct injection keys), reused 0" in first.out
    found = results(first.artifacts)
    assert Counter(result.kind for result in found) == STAGES
    leaks = [result.summary["leak"]["passed"] for result in found if "leak" in result.summary]
    assert leaks == [True, True]


def test_a_study_with_more_random_regions_unlearns_in_those_alone(
    first: Run, tmp_path: Path
) -> None:
    """Whatever one region has given is taken from the store; a seed stays one number."""
    run = study(copied(first, tmp_path), "regions=2")
    assert run.status == 0, run.err
    assert "trained 2 stages (0 injections for 2 distinct injection keys), reused 15" in run.out
    found = [r for r in results(run.artifacts) if r.summary.get("region") == 2]
    assert sorted(result.kind for result in found) == ["localized", "trial"]
    for result in found:
        assert result.label.endswith(" region=2")
        if result.kind == "trial":
            assert result.summary["scenario"] == "random"
            assert result.summary["localization"]["region"]["precision"] == 0
    regions = [
        load_vectors(result.folder / region_of("complement"))
        for result in results(run.artifacts)
        if result.kind == "localized" and "complement seed=1" in result.label
    ]
    assert len(regions) == 2 and len(regions[0] & regions[1]) == 0
    rows = json.loads(run.tables["main.json"])["rows"]
    seeds = {(row["scenario"], tuple(row["seeds"])) for row in rows}
    assert seeds == {("oracle", (1,)), ("random", (1,))}
    assert {row["n"] for row in rows if row["measure"] == "FS at alpha 1"} == {1}
    assert {len(row["keys"]) for row in rows if row["scenario"] == "random"} == {2}
    assert problems_of_study(run.artifacts / "smoke") == []
    client = connect(f"sqlite:///{run.artifacts}/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "lacuna"]
    trials = client.search_runs([experiment.experiment_id], "tags.region = '2'")
    assert "npo random seed=1 region=2" in {trial.info.run_name for trial in trials}


def test_mlflow_has_one_parent_and_a_tagged_child_for_every_trained_stage(first: Run) -> None:
    client = connect(f"sqlite:///{first.artifacts}/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "lacuna"]
    runs = list(client.search_runs([experiment.experiment_id], max_results=100))
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parents) == 1 and parents[0].data.metrics["trained/injected"] == 2
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert Counter(run.data.tags["stage"] for run in children) == STAGES
    tests = [run for run in children if run.data.tags.get("purpose") == "test"]
    assert {run.data.tags["scenario"] for run in tests} == {"oracle", "random"}
    for run in tests:
        tags = run.data.tags
        assert (tags["study"], tags["objective"], tags["seed"]) == ("smoke", "npo", "1")
        assert float(tags["ratio"]) == 0.1 and float(tags["lr"]) > 0 and len(tags["key"]) == 64
        assert run.info.run_name == f"npo {tags['scenario']} seed=1"
        assert {"aues", "fs", "rs", "mu", "fq"} <= run.data.metrics.keys()
        (injected,) = [r for r in children if r.info.run_id == tags["input.injected.run_id"]]
        assert injected.data.tags["stage"] == "injected"
        assert datasets(run) == datasets(injected)
        assert {name for name, _ in datasets(run)} == {"synthetic", "target region"}
    files = {file.path for file in client.list_artifacts(parents[0].info.run_id)}
    assert files == {
        "report",
        "tables",
        "verdict.json",
        "results.json",
        "manifest.json",
        "registered.json",
    }


def datasets(run: Any) -> set[tuple[str, str]]:
    """Name and digest of what a run worked on."""
    found = {(item.dataset.name, item.dataset.digest) for item in run.inputs.dataset_inputs}
    assert all(len(digest) == 36 for _, digest in found)
    return found


def test_a_second_run_trains_nothing_and_repeats_the_tables_bit_by_bit(
    first: Run, tmp_path: Path
) -> None:
    again = study(copied(first, tmp_path))
    assert again.status == 0, again.err
    assert "nothing to train: all 15 results were in the store" in again.out
    assert again.tables == first.tables


def test_one_flipped_bit_in_an_injected_checkpoint_is_found_named_and_mended(
    first: Run, tmp_path: Path
) -> None:
    artifacts = copied(first, tmp_path)
    injected = next(r.folder for r in results(artifacts) if r.kind == "injected")
    weights = next(injected.rglob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    again = study(artifacts)
    assert again.status == 0, again.err
    assert f"{weights} differs from its manifest" in again.err
    assert "trained 1 stages (1 injections" in again.out and again.tables == first.tables
    assert injected.with_name(f"{injected.name}.bad").is_dir()


def test_the_same_study_from_nothing_in_one_process_gives_the_same_tables(
    first: Run, tmp_path: Path
) -> None:
    """Without Ray and MLflow, the results of which are found where both have run."""
    for package in ("ray", "mlflow"):
        (tmp_path / f"{package}.py").write_text(f"raise ImportError('{package} is not needed')\n")
    other = study(tmp_path / "elsewhere", "engine=local")
    assert other.status == 0, other.err
    assert "trained 15 stages" in other.out
    assert other.tables == first.tables
    assert not list(tmp_path.rglob("mlflow.db"))
    listed = sweeps(tmp_path, "store", "ls", f"artifacts={other.artifacts}")
    assert listed.returncode == 0 and len(listed.stdout.splitlines()) == 15, listed.stderr
    again = study(copied(first, tmp_path / "copy"), "engine=local")
    assert "nothing to train: all 15 results were in the store" in again.out, again.err


def searched(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Scenario -> (turn, rate) of everything its search tried."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in json.loads(run.tables["search.json"])["rows"]:
        assert row["status"] == "ok" and row["seeds"] == [0] and row["choice"]
        found.setdefault(row["scenario"], []).append((row["turn"], row["lr"]))
    return {scenario: sorted(rates) for scenario, rates in found.items()}


def test_suggested_rates_are_keyed_trials_that_a_longer_search_goes_on_from(
    first: Run, tmp_path: Path
) -> None:
    """What a search of three at once does, see `test_rate_search`."""
    options = "search.method=optuna", "search.round=2"
    short = study(copied(first, tmp_path), *options, "search.trials=2")
    assert short.status == 0, short.err
    tried = searched(short)
    assert [turn for turn, _ in tried["oracle"]] == [1, 2]
    longer = study(short.artifacts, *options, "search.trials=3")
    assert longer.status == 0, longer.err
    assert re.search(r"trained [234] stages \(0 injections for 2 ", longer.out)
    for scenario, rates in searched(longer).items():
        assert rates[:2] == tried[scenario] and len(rates) == 3
        assert all(1e-2 <= rate <= 4e-2 for _, rate in rates)


def test_resources_that_no_node_has_are_refused_before_anything_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifacts = tmp_path / "artifacts"
    assert main([*TINY, f"artifacts={artifacts}", "resources.control.gpus=64"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        "error: study smoke on embedded needs 64 GPU a stage (the largest, control"
    )
    assert said.count("\n") == 1 and not artifacts.exists()


def test_a_diverging_trial_fails_the_study_and_leaves_the_other_cells_intact(
    first: Run, tmp_path: Path
) -> None:
    rates = ["unlearn.lrs.region.npo=[1e-2]", "+unlearn.lrs.oracle.npo=[3e38]"]
    run = study(copied(first, tmp_path), *rates)
    assert run.status == 1
    last = run.err.splitlines()[-1]
    assert last.startswith(
        "failed: test npo oracle ratio=0.1 lr=3e+38 seed=1: Diverged: loss is nan"
    )
    cells = json.loads(run.tables["main.json"])
    rows = cells["rows"] if isinstance(cells, dict) else cells
    status = {(row["scenario"], row["measure"]): row["status"] for row in rows}
    assert all(said.startswith("failed") for (s, _), said in status.items() if s == "oracle")
    assert all(said == "ok" for (s, _), said in status.items() if s == "random")
    assert {scenario for scenario, _ in status} == {"oracle", "random"}
    assert b"Diverged: loss is nan" in run.tables["failures.csv"]
    assert not list(run.artifacts.rglob("*.part"))


@needs("mount")
def test_a_full_disk_is_named_and_nothing_half_written_remains(tmp_path: Path) -> None:
    store = tmp_path / "artifacts" / "checkpoints"
    store.mkdir(parents=True)
    new_database(tmp_path / "artifacts" / "mlflow.db")
    mount = ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(store)]
    subprocess.run(mount, check=True)
    try:
        run = study(tmp_path / "artifacts")  # one model fits, two do not
        kinds = [result.kind for result in results(tmp_path / "artifacts")]
        left = [path for path in store.rglob("*") if path.name.endswith(".part")]
    finally:
        subprocess.run(["umount", str(store)], check=True)
    failed = [line for line in run.err.splitlines() if line.startswith("failed: ")]
    assert run.status == 1
    assert failed[0].startswith("failed: retained seed=0: ") and "No space left" in failed[0]
    assert failed[1:] == ["failed: 11 more that need the above"]  # without rates, no test trials
    assert kinds == ["base"] and left == []  # whole, and no private folder beside it
