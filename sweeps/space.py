"""Room for a study's results, checked before hours are spent."""

import os
import shutil
from pathlib import Path

from lacuna.errors import UserError
from sweeps.estimate import Outlook
from sweeps.progress import size_text

RESERVE = 500e6
"""Bytes besides the results: the tracking database, Ray's logs, reports."""


def check_space(outlook: Outlook) -> None:
    """Raises `UserError` where the output root or a local store cannot take what the study adds."""
    config = outlook.planner.config
    root, store = Path(config.artifacts), config.store
    if store is None:
        _check(root, RESERVE + outlook.disk)
        return
    _check(root, RESERVE)
    if "://" not in store:
        _check(Path(store), outlook.disk)


def _check(folder: Path, needed: float) -> None:
    """`folder` need not exist: then its nearest parent that does will hold it."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(
            f"user {os.getuid()} may not write to {place}: give this user the folder (a container: "
            'add --user "$(id -u):$(id -g)" and mount a folder of yours), or name another with '
            "artifacts= or store="
        )
    free = shutil.disk_usage(place).free
    if free < needed:
        raise UserError(
            f"{place} has {size_text(free)} free, and the study needs {size_text(needed)} there: "
            "make room, or name another folder with artifacts= or store= (plan=true shows what "
            "takes the space)"
        )
