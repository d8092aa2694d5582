"""Finished stages: whole, verified, one per key.

A result lives in `<root>/<key[:2]>/<key>.<epoch>/`; the root is a folder or a URL. It exists for a
reader only if the coordinator holds a commit record for it and the bytes match: the record has the
manifest's sha256, the manifest has every file's. A path is never the test.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar, cast

from lacuna.artifacts import file_digest, write_json
from lacuna.errors import UserError
from lacuna.results.files import MANIFEST, SUMMARY
from sweeps.errors import CoordinatorError, Damaged, StageFailed, one_line
from sweeps.stage import Stage
from sweeps.store.lease import (
    BEAT,
    TTL,
    Commit,
    Coordinator,
    Lease,
    Liveness,
    failed_in_a_row,
    heartbeats,
    is_killed,
)
from sweeps.store.local import LocalStorage
from sweeps.store.manifest import StageManifest, write_manifest
from sweeps.store.storage import Storage, name_of

log = logging.getLogger(__name__)
A_co = TypeVar("A_co", bound=Coordinator, covariant=True)

Work = Callable[[Mapping[str, Path], Path], Mapping[str, object]]
"""Given the inputs' folders by role and an empty folder to write to, returns a JSON summary."""

DAY = 24 * 3600.0  # seconds


class Store(Generic[A_co]):
    """Looks results up by key, and has each missing one computed once."""

    def __init__(
        self,
        root: Path | Storage,
        coordinator: A_co,
        ttl: float = TTL,
        beat: float = BEAT,
        attempts: int = 3,
    ) -> None:
        """`ttl` and `beat` in seconds: patience with a silent holder, and our own heartbeat.

        A key that fails, or loses its holder, `attempts` times in a row is given up until the next
        session (`sweeps.store.mlflow_coordinator`), that is until somebody starts the study again.
        """
        self.storage: Storage = LocalStorage(root) if isinstance(root, Path) else root
        self.coordinator, self.ttl, self.beat, self.attempts = coordinator, ttl, beat, attempts

    def get(self, key: str) -> Path | None:
        """The folder of a published, undamaged result, or None.

        The first look in a process reads every byte. A damaged result is set aside, named in a
        warning, and from then on missing.
        """
        commit = self.coordinator.committed(key)
        if commit is None:
            return None
        try:
            return self._fetch(key, commit)
        except Damaged:
            return None

    def summaries(self, keys: list[str]) -> dict[str, dict[str, object]]:
        """`summary` of many keys, asking the coordinator once; none for keys without a result."""
        commits = self._commits(keys)
        found = {key: self._peek(key, commits[key], SUMMARY) for key in commits}
        return {key: summary for key, summary in found.items() if summary is not None}

    def published(self, keys: list[str]) -> set[str]:
        """Which keys have a commit record, without reading the results: for a plan."""
        return set(self._commits(keys))

    def summary(self, key: str) -> dict[str, object] | None:
        """The summary that a stage returned, or None if it has no result."""
        return self._read(key, SUMMARY)

    def manifest(self, key: str) -> StageManifest | None:
        """Where a result comes from, or None if there is none."""
        return cast(StageManifest | None, self._read(key, MANIFEST))

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

    def set_aside(self, key: str, commit: Commit, problem: str) -> None:
        """Take a damaged result out of use, for everybody; the next study computes it again."""
        self.storage.set_aside(name_of(key, commit.epoch))
        self.coordinator.withdraw(key, commit.generation, problem)

    def _commits(self, keys: list[str]) -> dict[str, Commit]:
        found = self.coordinator.all_committed() if keys else {}
        return {key: found[key] for key in keys if key in found}

    def _fetch(self, key: str, commit: Commit) -> Path:
        """The result's folder; a damaged one is set aside before `Damaged` is raised."""
        with self._withdrawing(key, commit):
            return self.storage.fetch(name_of(key, commit.epoch), commit.sha256)

    def _read(self, key: str, file: str) -> dict[str, object] | None:
        commit = self.coordinator.committed(key)
        return None if commit is None else self._peek(key, commit, file)

    def _peek(self, key: str, commit: Commit, file: str) -> dict[str, object] | None:
        try:
            with self._withdrawing(key, commit):
                return self.storage.peek(name_of(key, commit.epoch), commit.sha256, file)
        except Damaged:
            return None

    @contextmanager
    def _withdrawing(self, key: str, commit: Commit) -> Iterator[None]:
        try:
            yield
        except Damaged as error:
            log.warning("damaged result set aside, it will be computed again: %s", error)
            self.set_aside(key, commit, str(error))
            raise

    def _claim(self, stage: Stage) -> int | None:
        """Waits for a claim: its epoch, or None once there is a result to look at."""
        key, watch, waited_for = stage.key, Liveness(self.ttl), 0
        while True:
            leases = self.coordinator.leases(key)
            lease = leases[-1] if leases else None
            if lease and lease.state == "failed" and lease.epoch == waited_for:
                raise StageFailed(lease.reason)
            if lease is None or lease.state != "held" or watch.is_dead(lease):
                self._sweep(key, leases)
                self._give_up(stage, failed_in_a_row(leases, self.coordinator.session))
                epoch = self.coordinator.claim(key, after=self._newest(key, lease))
                if epoch is not None:
                    return epoch
            else:
                waited_for = lease.epoch
                time.sleep(min(1.0, self.ttl / 10))
            if self.coordinator.committed(key):
                return None

    def _give_up(self, stage: Stage, failed: list[Lease]) -> None:
        if len(failed) < self.attempts or self.coordinator.committed(stage.key):
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
        key, name = stage.key, name_of(stage.key, epoch)
        # Published between our look and our claim? Not before the very first claim.
        if epoch > 1 and self.coordinator.committed(key):
            self.coordinator.release(key, epoch)
            return None
        kept = False
        with self._closing(key, epoch), heartbeats(self.coordinator, key, epoch, self.beat):
            sha256 = self._write(stage, epoch, work, run_id)
            try:
                details = {"kind": stage.kind, "label": stage.label, "run_id": run_id()}
                kept = self.coordinator.commit(key, epoch, sha256, details)
            finally:
                if not kept:
                    self._discard(name)
        return self.storage.fetch(name, sha256) if kept else None

    def _write(self, stage: Stage, epoch: int, work: Work, run_id: Callable[[], str]) -> str:
        """Do the work and store it; returns the manifest's sha256."""
        start = time.time()
        with self.storage.writing(name_of(stage.key, epoch)) as part:
            summary = work(self._inputs(stage), part)
            write_json(part / SUMMARY, summary)
            write_manifest(part, stage, epoch, start, run_id())
            return file_digest(part / MANIFEST)

    def _inputs(self, stage: Stage) -> dict[str, Path]:
        return {role: self._input(stage, role, key) for role, key in stage.inputs.items()}

    def _input(self, stage: Stage, role: str, key: str) -> Path:
        commit = self.coordinator.committed(key)
        problem = "is not in the store"
        if commit is not None:
            try:
                return self._fetch(key, commit)
            except Damaged as error:
                problem = f"was damaged and set aside ({error})"
        raise UserError(
            f"{stage.label}: its input {role} ({key[:12]}) {problem}: "
            "run the study again to rebuild it"
        )

    @contextmanager
    def _closing(self, key: str, epoch: int) -> Iterator[None]:
        """Gives the claim back however the block ends, even by Ctrl-C: released, or as failed."""
        ended = False
        try:
            yield
            ended = True
        finally:
            reason = "" if ended else one_line(sys.exception() or RuntimeError("stopped"))
            try:
                if ended:
                    self.coordinator.release(key, epoch)
                else:
                    self.coordinator.record_failure(key, epoch, reason)
            except CoordinatorError as error:
                # What the work found or raised matters more; waiters will see a silent holder.
                log.warning("the end of %s could not be recorded: %s", key[:12], error)

    def _discard(self, name: str) -> None:
        try:
            self.storage.remove(name)
        except OSError as error:  # what ended the attempt matters more
            log.warning("%s is left for gc: %s", name, one_line(error))

    def _newest(self, key: str, last: Lease | None) -> int:
        """The highest epoch so far: another coordinator may have published in the store."""
        epochs = [entry.epoch for entry in self.storage.entries(key)]
        return max([*epochs, last.epoch if last else 0])

    def _sweep(self, key: str, leases: Sequence[Lease]) -> None:
        """Remove what killed attempts left half-written.

        A holder that only stalled may still be writing: its folder is left alone for a day.
        """
        killed = {lease.epoch for lease in leases if is_killed(lease)}
        for entry in self.storage.entries(key):
            if entry.state != "part" or entry.epoch == 0:  # 0: what the next attempt resumes from
                continue
            if entry.epoch in killed or self.storage.weigh(entry)[1] > DAY:
                self.storage.remove(entry.path)
