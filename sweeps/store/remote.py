"""A store at a URL such as `s3://bucket/prefix`, where nothing can be renamed.

Each attempt uploads under a name of its own, its manifest last; the coordinator's commit alone
makes a result of it. No name is used twice, so nothing is overwritten. A reader fetches a result
once into a cache folder on its own host, where it is compared byte by byte before it appears.
"""

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import fsspec
from fsspec.core import url_to_fs

from lacuna.errors import UserError
from lacuna.results.files import MANIFEST
from sweeps.errors import Damaged
from sweeps.store.local import LocalStorage
from sweeps.store.manifest import damages
from sweeps.store.storage import NAME, StoredAttempt

T = TypeVar("T")


class RemoteStorage:
    """A `Storage` on any file system that `fsspec` knows."""

    def __init__(self, url: str, cache: Path) -> None:
        """Connects to nothing yet; raises `UserError` where this Python cannot read such a URL."""
        local = url.startswith(("file:", "local:"))
        try:
            self._fs, self._root = url_to_fs(url, **({"auto_mkdir": True} if local else {}))
        except (ImportError, ValueError) as error:
            raise UserError(
                f"store={url} cannot be used: {' '.join(str(error).split())} "
                f"(fsspec here is {fsspec.__version__}: take the same version)"
            ) from error
        self._cache = LocalStorage(cache)
        self.root = self._fs.unstrip_protocol(self._root) if local else url.rstrip("/")
        self.cache = self._cache.root

    def identity(self, make: bool = True) -> str:
        """A digest of the URL, which is the same on every host."""
        return hashlib.sha256(self.root.encode()).hexdigest()[:16]

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A folder of the cache, uploaded when the block succeeds."""
        with self._cache.writing(name) as part:
            yield part
            self._upload(part, name)

    def fetch(self, name: str, sha256: str) -> Path:
        """The copy in the cache, downloaded by one process of the host for all of them."""
        with self._lock(name):
            try:
                return self._cache.fetch(name, sha256)
            except Damaged:  # absent, or spoilt here: what counts is the original
                self._cache.remove(name)
            with self._cache.writing(name) as part:
                if problems := self._download(name, sha256, part):
                    raise Damaged(f"{self.root}/{name}/{'; '.join(problems)}")
            return self._cache.fetch(name, sha256)

    def peek(self, name: str, sha256: str, file: str) -> dict[str, object]:
        """Compares the manifest, all sizes and this file; `fetch` compares the rest."""
        try:
            return self._peek(name, sha256, file)
        except Damaged:  # or one bad answer, which must not cost a result
            return self._peek(name, sha256, file)

    def damages(self, name: str, sha256: str) -> list[str]:
        """Downloads every byte, and keeps none."""
        Path(self.cache).mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.cache) as folder:
            return self._download(name, sha256, Path(folder))

    def set_aside(self, name: str) -> None:
        """Only the copy in the cache goes: without a commit record nobody reads the original."""
        self._cache.remove(name)

    def remove(self, path: str) -> None:
        """Delete both the original and the copy in the cache."""
        self._cache.remove(path)
        self._fs.invalidate_cache()
        with suppress(FileNotFoundError):
            self._fs.rm(self._at(path), recursive=True)

    def entries(self, key: str = "") -> list[StoredAttempt]:
        """What was uploaded, and what killed processes of this host left in the cache."""
        found: dict[tuple[str, str, int], set[str]] = {}
        for path in self._sizes(key[:2]):
            shard, name, *file = path.split("/", 2)
            match = NAME.fullmatch(name)
            if match and match["key"].startswith(key):
                attempt = f"{shard}/{name}", match["key"], int(match["epoch"])
                found.setdefault(attempt, set()).update(file)
        uploaded = [
            StoredAttempt(*attempt, "whole" if MANIFEST in files else "part")
            for attempt, files in sorted(found.items())
        ]
        return uploaded + [entry for entry in self._cache.entries(key) if entry.state == "part"]

    def weigh(self, entry: StoredAttempt) -> tuple[int, float]:
        """Size and age, by the server's clock."""
        sizes = self._sizes(entry.path)
        if not sizes:
            return self._cache.weigh(entry)
        newest = max(self._fs.modified(self._at(path)).timestamp() for path in sizes)
        return sum(sizes.values()), time.time() - newest

    def _upload(self, folder: Path, name: str) -> None:
        """Upload all files; on an error remove those that are there already."""
        if self._sizes(name):
            raise FileExistsError(f"{self.root}/{name} exists: do two tracking stores use it?")
        files, whole = [path for path in sorted(folder.rglob("*")) if path.is_file()], False
        try:
            for path in sorted(files, key=lambda path: path == folder / MANIFEST):  # it comes last
                self._fs.put_file(str(path), self._at(name, path.relative_to(folder).as_posix()))
            whole = True
        finally:
            if not whole:
                with suppress(OSError):  # what went wrong first matters more; `gc` will find it
                    self.remove(name)

    def _peek(self, name: str, sha256: str, file: str) -> dict[str, object]:
        manifest = self._bytes(name, MANIFEST)
        if manifest is None:
            raise Damaged(f"{self.root}/{name}/{MANIFEST} does not exist")
        if hashlib.sha256(manifest).hexdigest() != sha256:
            raise Damaged(f"{self.root}/{name}/{MANIFEST} differs from its commit record")
        files = json.loads(manifest)["files"]
        listed = self._sizes(name)
        for other, said in files.items():
            path = f"{name}/{other}"
            size = listed[path] if path in listed else self._size(path)
            if size is None:
                raise Damaged(f"{self.root}/{path} does not exist")
            if size != said["size"]:
                raise Damaged(f"{self.root}/{path} has {size} bytes instead of {said['size']}")
        if file == MANIFEST:
            return dict(json.loads(manifest))
        content = self._bytes(name, file) or b""
        if hashlib.sha256(content).hexdigest() != files[file]["sha256"]:
            raise Damaged(f"{self.root}/{name}/{file} differs from its manifest (sha256)")
        return dict(json.loads(content))

    def _at(self, *parts: str) -> str:
        return "/".join([self._root.rstrip("/"), *parts])

    def _sizes(self, path: str) -> dict[str, int]:
        """Bytes of every file that a listing shows below `path`, by path below the root."""
        self._fs.invalidate_cache()  # others write there too
        listing = self._fs.find(self._at(path).rstrip("/"), detail=True)
        return {name[len(self._at("")) :]: int(info["size"]) for name, info in listing.items()}

    def _size(self, path: str) -> int | None:
        return _or_none(lambda: int(self._fs.info(self._at(path))["size"]))

    def _bytes(self, name: str, file: str) -> bytes | None:
        return _or_none(lambda: bytes(self._fs.cat_file(self._at(name, file))))

    def _download(self, name: str, sha256: str, folder: Path) -> list[str]:
        """Download into `folder`, twice if need be; what is damaged even the second time."""
        problems = self._download_once(name, sha256, folder)
        return self._download_once(name, sha256, folder) if problems else []

    def _download_once(self, name: str, sha256: str, folder: Path) -> list[str]:
        """Goes by the manifest: a listing may lag behind. Missing is what cannot be downloaded."""
        content = self._bytes(name, MANIFEST)
        if content is not None:
            (folder / MANIFEST).write_bytes(content)
        if content is not None and hashlib.sha256(content).hexdigest() == sha256:
            for file in json.loads(content)["files"]:
                path = folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)
                with suppress(FileNotFoundError):
                    self._fs.get_file(self._at(name, file), str(path))
        return damages(folder, sha256)

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        lock = Path(self.cache) / name.partition("/")[0] / ".lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def _or_none(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except FileNotFoundError:
        return None
