"""What a worker keeps while a stage runs, and gives back after it."""

from pathlib import Path

import pytest
import torch

from sweeps.engine.worker import keep_heap, return_heap

PAGES = Path("/proc/self/statm")
MIB = 2**20


def resident() -> int:
    """MiB of this process in memory."""
    return int(PAGES.read_text().split()[1]) * 4096 // MIB


@pytest.mark.skipif(not keep_heap() or not PAGES.exists(), reason="needs the heap of glibc")
def test_what_a_stage_freed_goes_back_after_it() -> None:
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
