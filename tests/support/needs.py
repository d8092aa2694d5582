"""What a test may need and a machine may lack: the only reasons for which a test is skipped.

A test says `@needs("tofu")`; `conftest.py` skips it where that is missing, and marks it with the
need's kind, so that `-m "not privilege"` leaves out all of a kind. Every test that may be skipped
stands in the table `tests/SKIPS.md`.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from support import SHARED

ALONE = ["unshare", "-Urnm", "--pid", "--fork", "--kill-child", "--mount-proc"]
"""Runs a command with network, mounts and processes of its own."""


@dataclass(frozen=True)
class Need:
    """What is needed, in words, and how to find out whether it is there."""

    kind: str
    """`privilege`, `gpu`, `tool` or `data`."""
    reason: str
    met: Callable[[], bool]


def has_namespaces() -> bool:
    """Whether this user may make namespaces, and the tools are there."""
    tools = all(shutil.which(tool) for tool in ("unshare", "ip", "mount"))
    return tools and subprocess.run([*ALONE, "true"], capture_output=True).returncode == 0


def may_mount() -> bool:
    """Whether this user may mount a small file system."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True).returncode:
            return False
        return subprocess.run(["umount", folder]).returncode == 0


def shared(folder: str) -> Need:
    """Published texts, which are no part of this project: beside the checkout, or nowhere."""
    reason = f"needs real data: ../shared/data/{folder}"
    return Need("data", reason, (SHARED / "data" / folder).is_dir)


NEEDS = {
    "namespaces": Need("privilege", "needs network namespaces of its own", has_namespaces),
    "mount": Need("privilege", "needs the right to mount a tmpfs (root)", may_mount),
    "no driver": Need(
        "gpu",
        "needs a machine without an NVIDIA driver",
        lambda: not Path("/proc/driver/nvidia/version").exists(),
    ),
    "browser": Need("tool", "needs chromium", lambda: shutil.which("chromium") is not None),
    "gguf": Need("tool", "needs the package gguf", lambda: find_spec("gguf") is not None),
    "tofu": shared("tofu"),
    "lume": shared("lume"),
    "logs": shared("tofu_eval_logs"),
}


@cache
def is_met(name: str) -> bool:
    """Found out once."""
    return NEEDS[name].met()


def needs(name: str) -> pytest.MarkDecorator:
    """Marks a test that is skipped where one of `NEEDS` is missing."""
    return pytest.mark.needs(name)
