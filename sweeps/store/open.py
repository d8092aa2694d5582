"""The storage that a study names, a folder or a URL, and the records that lie beside it."""

from pathlib import Path

from sweeps.store.coordinator import FolderCoordinator
from sweeps.store.local import LocalStorage
from sweeps.store.remote import RemoteStorage
from sweeps.store.storage import Storage


def open_storage(root: str, cache: Path) -> Storage:
    """The storage at `root`, a folder or a URL, whose results are copied to `cache`.

    Raises `UserError` for a URL of an unknown kind.
    """
    if "://" not in root:
        return LocalStorage(Path(root))
    return RemoteStorage(root, cache)


def study_storage(store: str | None, artifacts: Path) -> Storage:
    """Where a study's results lie: in its `store`, or below its output root."""
    return open_storage(store or str(artifacts / "checkpoints"), artifacts / "cache")


def folder_records(artifacts: Path) -> Path:
    """The folder of records (`FolderCoordinator`) of the studies below an output root."""
    return artifacts / "records"


def found_records(storage: Storage, artifacts: Path) -> FolderCoordinator | None:
    """The records of this storage in that folder, if a study has left any; makes nothing."""
    folder, identity = folder_records(artifacts), storage.identity(make=False)
    return FolderCoordinator(folder, identity) if identity and folder.is_dir() else None
