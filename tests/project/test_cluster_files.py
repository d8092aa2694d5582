"""Files for clusters that no test can start: they parse, and what they name exists."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from support import ROOT

DOCKER = ROOT / "docker"
SCRIPTS = ["secrets.sh", "node.sh", "slurm.sh"]
FILES = ["compose.yaml", "compose.gpu.yaml", "kuberay.yaml", "ray-cluster.yaml", *SCRIPTS]


def load(name: str) -> Any:
    return yaml.safe_load((DOCKER / name).read_text())


def texts(tree: Any) -> Iterator[str]:
    """Every string of a parsed file."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for name, value in tree.items():
            yield from texts(name)
            yield from texts(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from texts(value)


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_parse(name: str) -> None:
    subprocess.run(["bash", "-n", DOCKER / name], check=True)


@pytest.mark.parametrize("name", FILES)
def test_everything_named_in_the_repository_exists(name: str) -> None:
    text = (DOCKER / name).read_text()
    modules = set(re.findall(r"python -m ([\w.]+)", text))
    paths = set(re.findall(r"(?:docker|tests|benchmarks)/[\w./-]*\w", text))
    studies = set(re.findall(r"study=(\w+)", text)) - {"NAME"}
    assert [module for module in modules if find_spec(module) is None] == []
    assert [path for path in paths if not (ROOT / path).exists()] == []
    folder = ROOT / "sweeps/config/study"
    assert [study for study in studies if not (folder / f"{study}.yaml").is_file()] == []
    for key in re.findall(r"\b(resources\.\w+|address|tracking_uri|artifacts)=", text):
        assert key.split(".")[-1] in (ROOT / "sweeps/config/schema.py").read_text()


def test_every_file_is_described() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    assert [name for name in FILES if name not in text and name != "node.sh"] == []


@pytest.mark.parametrize("name", FILES)
def test_nothing_secret_and_no_digest_that_was_never_seen_is_in_a_file(name: str) -> None:
    text = (DOCKER / name).read_text()
    assert not re.search(r"sha256:[0-9a-f]{8}", text)
    assert not re.search(r"\b[0-9a-f]{32,}\b", text)


def test_compose_services_stay_inside_and_pin_their_images() -> None:
    compose = load("compose.yaml")
    services = compose["services"]
    assert set(services) == {"head", "worker", "mlflow", "postgres", "objects", "bucket"}
    assert compose["networks"]["cluster"]["internal"] is True
    for name, service in services.items():
        image = re.fullmatch(r"\$\{\w+:-([\w./-]+):([\w.-]+)\}", service["image"])
        assert image and image.group(2) != "latest", name
        ports = service.get("ports", [])
        assert [port for port in ports if not port.startswith("127.0.0.1:")] == [], name
        assert "cluster" in service["networks"], name
        assert set(service.get("depends_on", [])) <= set(services), name
        assert set(service.get("secrets", [])) <= set(compose["secrets"]), name
    for name in ("head", "worker"):
        assert services[name]["environment"]["RAY_AUTH_MODE"] == "token"
        assert services[name]["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"
    assert set(load("compose.gpu.yaml")["services"]) <= set(services)
    assert "--loop=uvloop" in " ".join(services["mlflow"]["command"])


def test_shell_lines_in_the_files_parse() -> None:
    compose = load("compose.yaml")["services"]
    commands = [service.get("command", []) for service in compose.values()]
    lines = [command[2] for command in commands if command[:1] == ["bash"]]
    cluster = load("ray-cluster.yaml")
    lines += cluster["setup_commands"] + cluster["head_start_ray_commands"]
    lines += cluster["worker_start_ray_commands"]
    assert len(lines) == 10
    for line in lines:
        subprocess.run(["bash", "-n", "-c", line.replace("$$", "$")], check=True)


def test_the_cluster_lock_adds_what_the_files_ask_for_and_nothing_twice() -> None:
    locks = {name: DOCKER / f"requirements{name}.lock" for name in ("", "-cluster")}
    full, added = (
        dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(), re.M)) for lock in locks.values()
    )
    assert {"boto3", "psycopg2-binary", "ray"} <= full.keys()
    assert {"uvloop", "aiohttp-cors", "opencensus"} <= added.keys()
    assert full.keys().isdisjoint(added)
    assert load("kuberay.yaml")["spec"]["rayClusterSpec"]["rayVersion"] == full["ray"]
    assert "requirements-cluster.lock" in (DOCKER / "ray-cluster.yaml").read_text()


def test_services_of_the_image_replace_its_entry_point() -> None:
    for name, service in load("compose.yaml")["services"].items():
        assert (service.get("entrypoint") == []) == ("lacuna-cluster" in service["image"]), name


def test_kuberay_asks_for_token_authentication_by_a_secret_and_shares_the_results() -> None:
    job = load("kuberay.yaml")
    cluster = job["spec"]["rayClusterSpec"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert cluster["authOptions"] == {"mode": "token", "secretName": "lacuna-ray"}
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "lacuna-results"
        assert pod["containers"][0]["volumeMounts"][0]["mountPath"] == "/results"
    assert "lacuna-results" in (ROOT / "docs" / "operations.md").read_text()


def test_ray_up_accepts_the_cluster() -> None:
    cluster = load("ray-cluster.yaml")
    ray = find_spec("ray")  # not imported: Ray reads its environment then, once for all tests
    assert ray is not None and ray.origin is not None
    schema = Path(ray.origin).parent / "autoscaler/ray-schema.json"
    jsonschema.validate(cluster, json.loads(schema.read_text()))
    assert cluster["head_node_type"] in cluster["available_node_types"]
    for target in texts(cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]):
        assert target.startswith(". /home/ubuntu/lacuna/docker/node.sh && ray ")


def run(*words: object, **env: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], **env}
    return subprocess.run([*map(str, words)], env=environment, capture_output=True, text=True)


def test_secrets_are_made_once_outside_of_the_repository(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert run(DOCKER / "secrets.sh", folder).returncode == 0
    names = ("ray_token", "postgres_password", "s3_secret")
    made = {name: (folder / name).read_text() for name in names}
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in made.values())
    assert len(set(made.values())) == 3 and folder.stat().st_mode & 0o777 == 0o700
    assert run(DOCKER / "secrets.sh", folder).returncode == 0
    assert {name: (folder / name).read_text() for name in names} == made
    inside = run(DOCKER / "secrets.sh", ROOT / "secrets")
    assert inside.returncode == 2 and "inside the repository" in inside.stderr
    assert not (ROOT / "secrets").exists()


def test_a_node_without_a_token_is_refused_and_with_one_asks_for_it(tmp_path: Path) -> None:
    script = f". {DOCKER}/node.sh && echo $RAY_AUTH_MODE $RAY_AUTH_TOKEN_PATH"
    refused = run("bash", "-c", script, HOME=str(tmp_path))
    assert refused.returncode == 1 and "docker/secrets.sh" in refused.stderr
    run(DOCKER / "secrets.sh", tmp_path / ".lacuna")
    told = run("bash", "-c", script, HOME=str(tmp_path))
    assert told.stdout.split() == ["token", f"{tmp_path}/.lacuna/ray_token"]


def test_slurm_wants_a_tracking_server_first(tmp_path: Path) -> None:
    said = run("bash", DOCKER / "slurm.sh", SLURM_SUBMIT_DIR=str(ROOT), HOME=str(tmp_path))
    assert said.returncode != 0 and "TRACKING_URI" in said.stderr
