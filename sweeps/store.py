"""Finished stages on disk: whole, verified, one per key.

A result lives in `<root>/<key[:2]>/<key>.<epoch>/`. It exists for a reader only if the arbiter
holds a commit record for it and the bytes match: the record has the manifest's sha256, the manifest
has every file's. A path is never the test.
"""

import importlib.metadata
import logging
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from lacuna.artifacts import file_digest, read_json, whole_folder, write_json
from lacuna.errors import UserError
from sweeps.graph import Stage
from sweeps.lease import (
    Arbiter,
    ArbiterError,
    Commit,
    Lease,
    Watch,
    beating,
    failed_in_a_row,
    is_gone,
)

log = logging.getLogger(__name__)
A = TypeVar("A", bound=Arbiter)

Work = Callable[[Mapping[str, Path], Path], dict[str, Any]]
"""Given the inputs' folders by role and an empty folder to write to, returns a JSON summary."""

PACKAGES = ("torch", "transformers", "numpy", "scipy", "ray", "mlflow", "hydra-core")

DAY = 24 * 3600.0  # seconds


class StageFailed(RuntimeError):
    """Another process tried this stage while we waited for it, and failed: its reason."""


class Store(Generic[A]):
    """Looks results up by key, and has each missing one computed once."""

    def __init__(
        self, root: Path, arbiter: A, ttl: float = 60.0, beat: float = 10.0, attempts: int = 3
    ) -> None:
        """`ttl` and `beat` in seconds: patience with a silent holder, and our own heartbeat.

        A key that fails, or loses its holder, `attempts` times in a row is given up until the next
        session (`sweeps.arbiter`), that is until somebody starts the study again.
        """
        self.root, self.arbiter, self.ttl, self.beat = root.resolve(), arbiter, ttl, beat
        self.attempts = attempts
        self._verified: set[tuple[str, int]] = set()

    def get(self, key: str, commit: Commit | None = None) -> Path | None:
        """The folder of a published, undamaged result, or None.

        The first look in a process reads every byte. A damaged result is renamed to `*.bad`, named
        in a warning, and from then on missing. Pass `commit` where it was looked up already.
        """
        commit = commit or self.arbiter.committed(key)
        if commit is None:
            return None
        folder = self.folder(key, commit.epoch)
        if (key, commit.epoch) in self._verified and (folder / "manifest.json").is_file():
            return folder
        try:
            verify(folder, commit.sha256)
        except UserError as error:
            self._set_aside(key, commit, str(error))
            return None
        self._verified.add((key, commit.epoch))
        return folder

    def get_many(self, keys: list[str]) -> dict[str, Path]:
        """`get` for many keys after a single question to the arbiter; missing keys are left out."""
        found = {key: self.get(key, commit) for key, commit in self._commits(keys).items()}
        return {key: folder for key, folder in found.items() if folder is not None}

    def published(self, keys: list[str]) -> set[str]:
        """Which keys have a commit record, without reading the results: for a plan."""
        return set(self._commits(keys))

    def summary(self, key: str) -> dict[str, Any] | None:
        """What a stage found, or None if it has no result."""
        return self._read(key, "summary.json")

    def manifest(self, key: str) -> dict[str, Any] | None:
        """Where a result comes from (label, params, inputs, run_id, versions, hardware, files)."""
        return self._read(key, "manifest.json")

    def produce(self, stage: Stage, work: Work, run_id: Callable[[], str] = str) -> Path:
        """The result of `stage`: found, awaited from another process, or computed here by `work`.

        `run_id` is asked once `work` has run. An exception of `work` leaves no file, is recorded as
        the attempt's failure, and passes on.

        Raises:
            StageFailed: another process failed at it while we waited.
            UserError: an input has no result, or the stage is given up.
        """
        while True:
            if folder := self.get(stage.key):
                return folder
            epoch = self._claim(stage)
            if epoch is not None and (folder := self._compute(stage, epoch, work, run_id)):
                return folder

    def folder(self, key: str, epoch: int) -> Path:
        """Where attempt `epoch` at `key` puts its result."""
        return self.root / key[:2] / f"{key}.{epoch}"

    def _commits(self, keys: list[str]) -> dict[str, Commit]:
        return self.arbiter.committed_many(keys) if keys else {}

    def _read(self, key: str, name: str) -> dict[str, Any] | None:
        folder = self.get(key)
        return None if folder is None else dict(read_json(folder / name))

    def _claim(self, stage: Stage) -> int | None:
        """Waits for a claim: its epoch, or None once there is a result to look at."""
        key, watch, waited_for = stage.key, Watch(self.ttl), 0
        while True:
            leases = self.arbiter.leases(key)
            lease = leases[-1] if leases else None
            if lease and lease.state == "failed" and lease.epoch == waited_for:
                raise StageFailed(lease.reason)
            if lease is None or lease.state != "held" or watch.is_dead(lease):
                self._give_up(stage, failed_in_a_row(leases, self.arbiter.session))
                newest = max(lease.epoch if lease else 0, self._newest_on_disk(key))
                epoch = self.arbiter.claim(key, after=newest)
                if epoch is not None:
                    if lease is not None:
                        self._sweep(key, lease)
                    return epoch
            else:
                waited_for = lease.epoch
                time.sleep(min(1.0, self.ttl / 10))
            if self.arbiter.committed(key):
                return None

    def _give_up(self, stage: Stage, failed: list[Lease]) -> None:
        if len(failed) < self.attempts or self.arbiter.committed(stage.key):
            return
        died = "its process died or fell silent (killed, out of memory?)"
        raise UserError(
            f"{stage.label} ({stage.key[:12]}) is given up after {len(failed)} attempts in a row, "
            f"the last: {failed[-1].reason or died}; mend the cause and run the study again"
        )

    def _compute(
        self, stage: Stage, epoch: int, work: Work, run_id: Callable[[], str]
    ) -> Path | None:
        """One attempt: its folder, or None if another result was published first."""
        key, final = stage.key, self.folder(stage.key, epoch)
        if self.arbiter.committed(key):  # published between our look and our claim
            self.arbiter.release(key, epoch)
            return None
        kept = False
        with self._closing(key, epoch), beating(self.arbiter, key, epoch, self.beat):
            try:
                start = time.time()
                with whole_folder(final) as part:
                    summary = work(self._inputs(stage), part)
                    write_json(part / "summary.json", summary)
                    write_manifest(part, stage, epoch, start, run_id())
                _sync_folder(final.parent)
                sha256 = file_digest(final / "manifest.json")
                details = {"kind": stage.kind, "label": stage.label, "run_id": run_id()}
                kept = self.arbiter.commit(key, epoch, sha256, details)
            finally:
                if not kept:
                    shutil.rmtree(final, ignore_errors=True)
        if kept:
            self._verified.add((key, epoch))
        return final if kept else None

    def _inputs(self, stage: Stage) -> dict[str, Path]:
        folders = {role: self.get(key) for role, key in stage.inputs.items()}
        for role, folder in folders.items():
            if folder is None:
                raise UserError(
                    f"{stage.label}: its input {role} ({stage.inputs[role][:12]}) has no usable "
                    "result: run the study again to rebuild it"
                )
        return {role: folder for role, folder in folders.items() if folder is not None}

    @contextmanager
    def _closing(self, key: str, epoch: int) -> Iterator[None]:
        """Gives the claim back however the attempt ends, even by Ctrl-C: as failed, or as free."""
        ended = False
        try:
            yield
            ended = True
        finally:
            reason = "" if ended else one_line(sys.exception() or RuntimeError("stopped"))
            try:
                if ended:
                    self.arbiter.release(key, epoch)
                else:
                    self.arbiter.record_failure(key, epoch, reason)
            except ArbiterError as error:
                # What the work found or raised matters more; waiters will see a silent holder.
                log.warning("the end of %s could not be recorded: %s", key[:12], error)

    def _set_aside(self, key: str, commit: Commit, problem: str) -> None:
        log.warning("damaged result set aside, it will be computed again: %s", problem)
        folder = self.folder(key, commit.epoch)
        if folder.is_dir():
            shutil.rmtree(bad := folder.with_name(f"{folder.name}.bad"), ignore_errors=True)
            try:
                folder.rename(bad)
            except FileNotFoundError:
                log.info("%s was set aside by another process", folder)
        self._verified.discard((key, commit.epoch))
        self.arbiter.withdraw(key, commit.generation, problem)

    def _newest_on_disk(self, key: str) -> int:
        """The highest epoch with a folder: another or a lost arbiter may have published it."""
        names = [path.name for path in (self.root / key[:2]).glob(f"{key}.*")]
        return max((int(name.split(".")[1]) for name in names), default=0)

    def _sweep(self, key: str, last: Lease) -> None:
        """Remove what killed attempts left half-written.

        A holder that only stalled may still be writing: its folder is left alone for a day.
        """
        for path in (self.root / key[:2]).glob(f".{key}.*.part"):
            old = time.time() - path.stat().st_mtime > DAY
            if old or (path.name.split(".")[2] == str(last.epoch) and is_gone(last.holder)):
                shutil.rmtree(path, ignore_errors=True)


def one_line(error: BaseException) -> str:
    """An exception as one short line; a `UserError` speaks for itself."""
    text = " ".join(str(error).split())[:400]
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}".strip(": ")


def verify(folder: Path, sha256: str) -> None:
    """Check a result's manifest against `sha256`, and each file against the manifest.

    Raises `UserError` naming the first file that is missing or differs.
    """
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise UserError(f"{manifest} does not exist")
    if file_digest(manifest) != sha256:
        raise UserError(f"{manifest} differs from its commit record")
    for name, file in read_json(manifest)["files"].items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path} does not exist")
        if path.stat().st_size != file["size"]:
            raise UserError(f"{path} has {path.stat().st_size} bytes instead of {file['size']}")
        if file_digest(path) != file["sha256"]:
            raise UserError(f"{path} differs from its manifest (sha256)")


def write_manifest(folder: Path, stage: Stage, epoch: int, start: float, run_id: str) -> None:
    """Write `manifest.json` over all files already in `folder`; `start` in seconds (epoch time)."""
    files = {
        path.relative_to(folder).as_posix(): {
            "sha256": file_digest(path),
            "size": path.stat().st_size,
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = {
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
        "versions": versions(),
        "hardware": hardware(),
        "files": files,
    }
    write_json(folder / "manifest.json", manifest)


def versions() -> dict[str, str]:
    """Python's and the main packages' versions."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def hardware() -> dict[str, Any]:
    """The machine a result was made on."""
    found: dict[str, Any] = {"machine": platform.machine(), "cpus": os.cpu_count(), "gpu": None}
    torch = sys.modules.get("torch")  # a stage without torch must not pay for its import
    if torch is not None and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
