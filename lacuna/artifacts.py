"""Files that are either whole or absent: canonical JSON, digests, atomic folders."""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

from lacuna.errors import UserError

Json: TypeAlias = "None | bool | int | float | str | Sequence[Json] | Mapping[str, Json]"
"""A value that JSON can hold."""
JsonObject: TypeAlias = Mapping[str, Json]


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values, equal text. Refuses NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: object) -> str:
    """sha256 of the canonical JSON of `value`, as 64 hex digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write indented JSON in one step; refuses NaN, which is not JSON."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a missing or broken file is a `UserError` that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not valid JSON ({error.msg})") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not text in UTF-8 (byte {error.start}): write it anew"
        ) from error
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: not JSON that can be read ({reason}): write it anew") from error


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a private folder that becomes `path` only if the block succeeds.

    Files are flushed to disk before the rename. On any error the private folder is removed, so a
    full disk or a killed block leaves nothing half-written under the final name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        share(part, (file for file in part.rglob("*") if file.is_file()))
        sync_tree(part)
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def share(folder: Path, files: Iterable[Path]) -> None:
    """Let the caller's umask decide who may read these files of a folder.

    Libraries write through private temporary files: a colleague could not read such a result.
    """
    probe = folder / f".{uuid4().hex}.mode"  # threads may share a folder at the same time
    try:
        probe.touch(exist_ok=False)
        mode = stat.S_IMODE(probe.stat().st_mode)
    finally:
        probe.unlink(missing_ok=True)
    for file in files:
        if not file.is_symlink():
            file.chmod(mode)


def sync_tree(folder: Path) -> None:
    """fsync every file and folder below `folder`, deepest first."""
    for root, _, names in os.walk(folder, topdown=False):
        for target in [*(Path(root) / name for name in names), Path(root)]:
            handle = os.open(target, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
