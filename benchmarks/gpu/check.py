"""What a part is given, and what it says."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch


@dataclass(frozen=True)
class Setting:
    """Where a part runs, and how large."""

    device: torch.device
    tiny: bool
    """Sizes that a processor computes in seconds."""

    @property
    def cuda(self) -> bool:
        """Whether this is a GPU."""
        return self.device.type == "cuda"

    @property
    def name(self) -> str:
        """The card's name, or CPU."""
        return torch.cuda.get_device_name(self.device) if self.cuda else "CPU"


@dataclass(frozen=True)
class Check:
    """One thing that was measured."""

    name: str
    value: float | str | bool | None
    unit: str = ""
    bound: str = ""
    """What was promised, in words; empty where the value is only reported."""
    kept: bool | None = None
    """Whether the promise was kept; None where there is none, or nothing here can tell."""

    def line(self) -> str:
        """The check as a JSON line."""
        return json.dumps(asdict(self))


Checks = Iterator[Check]
Part = Callable[[Setting], Checks]


def at_most(name: str, value: float, limit: float, unit: str = "") -> Check:
    """A number with an upper bound."""
    return Check(name, value, unit, f"at most {limit:g}", value <= limit)


def at_least(name: str, value: float, limit: float, unit: str = "") -> Check:
    """A number with a lower bound."""
    return Check(name, value, unit, f"at least {limit:g}", value >= limit)


def holds(name: str, kept: bool, bound: str) -> Check:
    """Something that is so or not."""
    return Check(name, kept, "", bound, kept)


def wait(setting: Setting) -> None:
    """Until the device has done all it was given."""
    if setting.cuda:
        torch.cuda.synchronize(setting.device)


def peak(setting: Setting) -> int | None:
    """Most bytes that tensors took since the last `forget_peak`; None on a processor."""
    return torch.cuda.max_memory_allocated(setting.device) if setting.cuda else None


def forget_peak(setting: Setting) -> int:
    """Start measuring the peak anew; returns the bytes that tensors take now."""
    if not setting.cuda:
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(setting.device)
    return int(torch.cuda.memory_allocated(setting.device))


@contextmanager
def clock(setting: Setting) -> Iterator[list[float]]:
    """Yields a list that holds the block's seconds once it is over."""
    found: list[float] = []
    wait(setting)
    start = time.perf_counter()
    yield found
    wait(setting)
    found.append(time.perf_counter() - start)


@contextmanager
def deterministic(on: bool) -> Iterator[None]:
    """Within the block torch refuses operations whose sums depend on the order of threads.

    On CUDA the environment must hold CUBLAS_WORKSPACE_CONFIG=:4096:8; the kit sets it.
    """
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(on, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
