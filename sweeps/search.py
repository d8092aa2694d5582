"""Choosing a learning rate from search trials; all candidates are kept with the choice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any


@dataclass(frozen=True)
class Choice:
    """The rate of one objective in one scenario, and why."""

    lr: float | None
    """None if every candidate failed."""
    in_window: bool
    """Whether FS ended inside the window on every tuning seed."""
    reason: str


def choose(trials: Sequence[Mapping[str, Any]], low: float, high: float) -> Choice:
    """The best AUES among rates whose FS at alpha = 1 lies in [low, high) on every tuning seed.

    The published rule (Lee et al., appendix D) wants FS close to 1 without reaching it. If no rate
    gets there: the highest FS below `high`, else the smallest rate. Trials that failed (`failed` in
    place of numbers) drop out.
    """
    by_rate: dict[float, list[Mapping[str, Any]]] = {}
    for trial in trials:
        if "failed" not in trial:
            by_rate.setdefault(trial["lr"], []).append(trial)
    if not by_rate:
        return Choice(None, False, f"all {len(trials)} candidates failed")
    inside = {
        lr: fmean(t["aues"] for t in group)
        for lr, group in by_rate.items()
        if all(low <= t["fs_end"] < high for t in group)
    }
    if inside:
        lr = max(inside, key=lambda rate: (inside[rate], -rate))
        return Choice(
            lr, True, f"best AUES ({inside[lr]:.3f}) of {len(inside)} rates in the window"
        )
    ends = {lr: fmean(t["fs_end"] for t in group) for lr, group in by_rate.items()}
    below = {lr: fs for lr, fs in ends.items() if fs < high}
    if below:
        lr = max(below, key=lambda rate: (below[rate], -rate))
        return Choice(lr, False, f"no rate in the window; highest FS below it ({below[lr]:.3f})")
    lr = min(ends)
    return Choice(lr, False, f"every rate reached FS {high:g}; smallest rate (FS {ends[lr]:.3f})")
