"""What a result says about itself, and whether its bytes still agree with that."""

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from typing_extensions import TypedDict

from lacuna.artifacts import file_digest, read_json, write_json
from lacuna.results import Hardware
from lacuna.results.files import MANIFEST
from sweeps.stage import Stage

PACKAGES = ("torch", "transformers", "numpy", "scipy", "ray", "mlflow", "hydra-core")


class FileRecord(TypedDict):
    """One file of a result."""

    sha256: str
    size: int
    """Bytes."""


class StageManifest(TypedDict):
    """manifest.json of a result: what it is, where it comes from, and its files."""

    key: str
    kind: str
    label: str
    params: dict[str, object]
    """All of the resolved configuration that the result depends on."""
    inputs: dict[str, str]
    """Role -> key of a parent stage."""
    tags: dict[str, str]
    epoch: int
    """Which attempt at the key made it, counted from 1."""
    run_id: str
    """On the tracking server; empty where that was away."""
    started: str
    """ISO 8601, UTC."""
    seconds: float
    """That it took to compute."""
    versions: dict[str, str]
    hardware: Hardware
    files: dict[str, FileRecord]
    """Path in the folder -> its size and digest."""


def damages(folder: Path, sha256: str) -> list[str]:
    """`FILE problem` for each file that is missing, differs or is too many; reads every byte.

    `sha256` is the manifest's, from the commit record; the manifest has every file's.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return [f"{MANIFEST} does not exist"]
    if file_digest(manifest) != sha256:
        return [f"{MANIFEST} differs from its commit record"]
    return list(_damages(folder, read_json(manifest)["files"]))


def _damages(folder: Path, files: Mapping[str, FileRecord]) -> Iterator[str]:
    for name, file in files.items():
        path = folder / name
        if not path.is_file():
            yield f"{name} does not exist"
        elif path.stat().st_size != file["size"]:
            yield f"{name} has {path.stat().st_size} bytes instead of {file['size']}"
        elif file_digest(path) != file["sha256"]:
            yield f"{name} differs from its manifest (sha256)"
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in files and name != MANIFEST and (path.is_symlink() or not path.is_dir()):
            yield f"{name} is not in its manifest"


def write_manifest(folder: Path, stage: Stage, epoch: int, start: float, run_id: str) -> None:
    """Write `manifest.json` over all files already in `folder`; `start` in seconds (epoch time)."""
    files: dict[str, FileRecord] = {
        path.relative_to(folder).as_posix(): {
            "sha256": file_digest(path),
            "size": path.stat().st_size,
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest: StageManifest = {
        "key": stage.key,
        "kind": stage.kind,
        "label": stage.label,
        "params": dict(stage.params),
        "inputs": dict(stage.inputs),
        "tags": dict(stage.tags),
        "epoch": epoch,
        "run_id": run_id,
        "started": datetime.fromtimestamp(start, UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - start, 3),
        "versions": dict(versions()),
        "hardware": hardware(),
        "files": files,
    }
    write_json(folder / MANIFEST, manifest)


@cache
def versions() -> Mapping[str, str]:
    """Python's and the main packages' versions; read once per process."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def hardware() -> Hardware:
    """The machine a result was made on."""
    found: Hardware = {"machine": platform.machine(), "cpus": os.cpu_count(), "gpu": None}
    torch = sys.modules.get("torch")  # a stage without torch must not pay for its import
    if torch is not None and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found
