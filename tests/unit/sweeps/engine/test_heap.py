"""What a worker keeps while a stage runs, and gives back after it."""

import platform
from pathlib import Path

import torch

from sweeps.engine.worker import keep_heap, return_heap

MIB = 2**20


def resident() -> int:
    """MiB of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // MIB


def test_what_a_stage_freed_goes_back_after_it() -> None:
    if not keep_heap():
        assert platform.libc_ver()[0] != "glibc", "its heap can be kept"
        return
    return_heap()
    before = resident()
    held = [torch.ones(MIB // 4) for _ in range(128)]
    rest = held[::8]  # scattered over the heap, so that its end cannot simply be cut off
    del held
    kept = resident() - before
    return_heap()
    assert kept > 100
    assert resident() - before < 40
    assert len(rest) == 16
