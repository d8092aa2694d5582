"""Results in a folder that all nodes share: a result appears by a rename."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from uuid import uuid4

from lacuna.artifacts import read_json, share, whole_folder
from lacuna.results.files import MANIFEST
from sweeps.errors import Damaged
from sweeps.store.manifest import damages
from sweeps.store.storage import NAME, StoredAttempt

IDENTITY = "store-id"


class LocalStorage:
    """A `Storage` in a folder that all nodes share: a result appears by a rename."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.root, self.cache = str(self._root), ""
        self._intact: set[str] = set()

    def identity(self, make: bool = True) -> str:
        """Kept in a file, since the folder may be moved or mounted elsewhere."""
        path = self._root / IDENTITY
        if make and not path.exists():
            self._root.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile("w", dir=self._root) as part:
                part.write(uuid4().hex[:16])
                part.flush()
                os.fsync(part.fileno())
                share(self._root, [Path(part.name)])
                with suppress(FileExistsError):  # another process was faster
                    os.link(part.name, path)
        return path.read_text("utf-8") if path.exists() else ""

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A folder beside the final one, flushed and renamed."""
        final = self._root / name
        with whole_folder(final) as part:
            yield part
        _sync_folder(final.parent)
        self._intact.add(name)

    def fetch(self, name: str, sha256: str) -> Path:
        """The folder itself."""
        folder = self._root / name
        if name in self._intact and (folder / MANIFEST).is_file():
            return folder
        if problems := damages(folder, sha256):
            raise Damaged(f"{folder}/{'; '.join(problems)}")
        self._intact.add(name)
        return folder

    def peek(self, name: str, sha256: str, file: str) -> dict[str, object]:
        """The file, once the whole result was read."""
        return dict(read_json(self.fetch(name, sha256) / file))

    def damages(self, name: str, sha256: str) -> list[str]:
        """Every byte is read, even a second time."""
        return damages(self._root / name, sha256)

    def set_aside(self, name: str) -> None:
        """Renamed to `*.bad`; a `FileNotFoundError` means that another process was faster."""
        self._intact.discard(name)
        folder = self._root / name
        bad = folder.with_name(f"{folder.name}.bad")
        if folder.is_dir():
            shutil.rmtree(bad, ignore_errors=True)
            with suppress(FileNotFoundError):  # another process was faster
                folder.rename(bad)

    def remove(self, path: str) -> None:
        """At once, as far as the file system lets us."""
        self._intact.discard(path)
        shutil.rmtree(self._root / path, ignore_errors=True)

    def entries(self, key: str = "") -> list[StoredAttempt]:
        """Folders named as attempts; all others are ignored."""
        found = []
        for path in sorted(self._root.glob(f"{key[:2] or '*'}/*")):
            match = NAME.fullmatch(path.name)
            if match and path.is_dir() and match["key"].startswith(key):
                state = path.suffix.removeprefix(".")
                state = state if state in ("bad", "part") else "whole"
                place = path.relative_to(self._root).as_posix()
                found.append(StoredAttempt(place, match["key"], int(match["epoch"]), state))
        return found

    def weigh(self, entry: StoredAttempt) -> tuple[int, float]:
        """From the files' sizes and times; folders count for the time."""
        size, newest = 0, 0.0
        for folder, _, files in os.walk(self._root / entry.path):
            for path in (Path(folder), *(Path(folder) / name for name in files)):
                with suppress(FileNotFoundError):  # its writer goes on meanwhile
                    stat = path.lstat()
                    size += 0 if path.is_dir() else stat.st_size
                    newest = max(newest, stat.st_mtime)
        return size, time.time() - newest


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
