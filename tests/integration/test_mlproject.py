"""Both MLproject files, read by MLflow itself: what `mlflow run` would start."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from mlflow.projects import docker as mlflow_docker
from mlflow.projects._project_spec import load_project
from support import ROOT

import docker

PARAMETERS = {"before": str(ROOT), "after": str(ROOT)}


def command(folder: str, entry: str, **given: str) -> str:
    """The shell line of an entry point."""
    point = load_project(str(ROOT / folder)).get_entry_point(entry)
    wanted = {name: PARAMETERS[name] for name in point.parameters if name in PARAMETERS}
    return str(point.compute_command(wanted | given, None))


def test_both_files_have_the_same_entries_and_parameters() -> None:
    here, image = load_project(str(ROOT)), load_project(str(ROOT / "docker"))
    assert here.env_type == "python_env" and image.env_type == "docker_env"
    assert set(here._entry_points) == {"main", "sweep", "report", "audit", "test"}
    for name, entry in here._entry_points.items():
        assert entry.parameters.keys() == image._entry_points[name].parameters.keys()
        assert entry.command == f"./reproduce.sh {image._entry_points[name].command}"


def test_an_entry_reaches_reproduce_sh_as_the_words_a_person_would_type() -> None:
    spread = "printf '<%s>' "
    line = command(".", "sweep", study="smoke", seeds="[1,2]", overrides="plan=true a.b=1")
    said = subprocess.run(
        ["bash", "-c", line.replace("./reproduce.sh ", spread)], capture_output=True, text=True
    )
    words = "<smoke><objectives=[wga,npo,dpo,graddiff]><scenarios=[oracle,random,activations,full]>"
    assert said.stdout == words + "<seeds=[1,2]><region.ratio=0.1><--overrides><plan=true a.b=1>"


def test_mlflow_run_plans_a_study_as_it_stands(tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"  # this environment, given as one that reproduce.sh keeps
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "venv/fixed").touch()
    words = ["-e", "main", "-P", "study=smoke", "-P", "overrides=plan=true seeds=[1]"]
    said = subprocess.run(
        [sys.executable, "-m", "mlflow", "run", ROOT, "--env-manager=local", *words],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "LACUNA_VENV": str(tmp_path / "venv"),
            "LACUNA_ARTIFACTS": str(tmp_path / "artifacts"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        },
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    assert "plan of study smoke" in said.stdout
    assert not (tmp_path / "artifacts").exists()


def test_the_docker_form_starts_the_image_with_the_results_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = SimpleNamespace(tags=["lacuna:0.1.0"], id="sha256:0")
    images = SimpleNamespace(list=lambda name: [image], get=lambda name: image)
    monkeypatch.setattr(docker, "from_env", lambda: SimpleNamespace(images=images))
    monkeypatch.setattr(mlflow_docker, "validate_docker_installation", lambda: None)
    client = tmp_path / "docker"
    client.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/words\n')
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("LACUNA_RESULTS", str(tmp_path / "results"))
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    try:
        run: Any = mlflow.projects.run(
            str(ROOT / "docker"),
            parameters={"study": "smoke", "overrides": "seeds=[1] plan=true"},
            docker_args={"shm-size": "1g", "user": "1234:1234", "gpus": "all"},
        )
        assert run.wait()
    finally:
        mlflow.set_tracking_uri(before)
    words = (tmp_path / "words").read_text().splitlines()
    assert words[:2] == ["run", "--rm"]
    assert words[words.index("--user") + 1] == "1234:1234"
    assert f"{tmp_path / 'results'}:/results" in words
    assert words[-4:] == ["lacuna:0.1.0", "smoke", "--overrides", "seeds=[1] plan=true"]
    assert json.dumps(words).count("/results") == 2
