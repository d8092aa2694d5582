"""The Dockerfile: pinned, hash-locked, non-root, in the subset that old builders parse.

docker/check_image.sh builds and runs it; that takes too long for here.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser
from support import ROOT

TARGETS = {"lacuna", "devel", "cluster"}


@pytest.fixture(scope="module")
def text() -> str:
    return (ROOT / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def steps(text: str, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """(instruction, value) of the whole file, continued lines joined, comments dropped."""
    path = tmp_path_factory.mktemp("image") / "Dockerfile"
    path.write_text(text)
    structure = DockerfileParser(str(path)).structure
    return [(s["instruction"], s["value"]) for s in structure if s["instruction"] != "COMMENT"]


def stages(steps: list[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """Each stage's instructions, its own FROM first."""
    found: dict[str, list[tuple[str, str]]] = {}
    for instruction, value in steps:
        if instruction == "FROM":
            found[value.split(" AS ")[1]] = current = []
        elif not found:
            continue
        current.append((instruction, value))
    return found


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", "Dockerfile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_every_stage_stands_on_a_digest_or_on_another_stage(steps: list[tuple[str, str]]) -> None:
    arguments = dict(value.split("=", 1) for name, value in steps if name == "ARG" and "=" in value)
    known: set[str] = set()
    for stage, ((_, value), *_) in stages(steps).items():
        parent = value.split(" AS ")[0]
        if parent not in known:
            default = arguments[parent.removeprefix("${").removesuffix("}")]
            assert re.fullmatch(r"nvidia/cuda:13\.0\.\d+-\S+@sha256:[0-9a-f]{64}", default), stage
        known.add(stage)


def test_targets_end_as_a_numeric_user_who_is_not_root(steps: list[tuple[str, str]]) -> None:
    found = stages(steps)
    assert found.keys() >= TARGETS
    assert list(found)[-1] == "lacuna"  # what `docker build .` makes
    for target in TARGETS:
        users = [value for name, value in found[target] if name == "USER"]
        assert users[-1:] == ["10001:10001"], target
        assert ("COPY", ". /opt/lacuna") in found[target]


def test_a_change_of_the_source_leaves_every_installation_alone(
    steps: list[tuple[str, str]],
) -> None:
    copied: dict[str, bool] = {}
    for stage, ((_, value), *rest) in stages(steps).items():
        source = copied.get(value.split(" AS ")[0], False)
        for instruction, step in rest:
            assert not (source and instruction == "RUN"), f"{stage}: {step}"
            source |= step == ". /opt/lacuna"
        copied[stage] = source


def test_the_entry_point_and_what_is_copied_exist(steps: list[tuple[str, str]]) -> None:
    (entry,) = [json.loads(value) for name, value in steps if name == "ENTRYPOINT"]
    (command,) = [json.loads(value) for name, value in steps if name == "CMD"]
    assert entry[:2] == ["/usr/bin/tini", "--"]
    program = ROOT / Path(entry[2]).relative_to("/opt/lacuna")
    assert program.stat().st_mode & 0o111 == 0o111
    assert (ROOT / f"sweeps/config/study/{command[0]}.yaml").is_file()
    for name, value in steps:
        if name == "COPY" and "--from" not in value:
            assert all((ROOT / word).exists() for word in value.split()[:-1]), value


def test_packages_come_hashed_and_secrets_stay_outside(steps: list[tuple[str, str]]) -> None:
    runs = [value for name, value in steps if name == "RUN"]
    for value in runs:
        if "pip install" in value:
            assert "--require-hashes" in value and "--no-deps" in value
        if "pip install" in value or "; build'" in value:
            assert "--mount=type=cache,target=/var/cache/pip" in value
            assert "--mount=type=secret,id=pip_conf,target=/etc/pip.conf" in value
    assert sum("environment.sh; torch=$(wanted_torch); build" in value for value in runs) == 1
    environment = (ROOT / "docker/environment.sh").read_text()
    assert "--require-hashes" in environment
    names = [value for name, value in steps if name in ("ARG", "ENV")]
    assert not re.search(r"(?i)token|passw|secret|index_url|://", " ".join(names))


def test_only_what_old_builders_parse_is_used(text: str) -> None:
    assert not re.search(r"^# *syntax *=", text, re.M) and "<<" not in text
    wanting = r"^COPY .*--(link|chmod)|^RUN .*--(network|security)|--mount=type=bind"
    assert not re.search(wanting, text, re.M)


def test_the_image_has_the_project_s_name_and_version(steps: list[tuple[str, str]]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (labels,) = [value for name, value in steps if name == "LABEL" and "image.title" in value]
    assert f'image.version="{project["version"]}"' in labels
    assert f'image.description="{project["description"]}"' in labels
    docker: Any = yaml.safe_load((ROOT / "docker/MLproject").read_text())
    assert docker["docker_env"]["image"] == f"lacuna:{project['version']}"


def test_the_context_holds_all_that_is_tracked_but_no_more() -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    assert rules[1] == "*"
    kept = [rule.removeprefix("!").rstrip("/") for rule in rules if rule.startswith("!")]
    for name in ("lacuna", "sweeps", "tests", "docker", "reproduce.sh", "pyproject.toml"):
        assert name in kept
    assert not {".git", ".venv", "artifacts"} & set(kept)


def test_the_toolkit_s_version_is_torch_s() -> None:
    lock = (ROOT / "docker/requirements.lock").read_text()
    assert re.search(r"^nvidia-cuda-runtime==13\.0\.", lock, re.M)
