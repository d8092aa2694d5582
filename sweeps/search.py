"""Finding a learning rate: rates are tried in rounds, and the best of all is chosen.

A grid is one round. `search.method=optuna` lets Ray Tune's `OptunaSearch` suggest rates, but from
here and not from inside a `Tuner`: there, results would reach it in the order in which workers
finish, a rate tried on several tuning seeds would be several results, and only one of a study's
searches could run at a time. Here a round's rates are asked for together and told together, in the
order asked. Suggestions then depend on the seed and the scores alone: a study that starts again is
suggested the same rates, finds their trials in the store, and goes on where it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from statistics import fmean
from typing import Any, Protocol

METHODS = ("grid", "optuna")
STARTUP = 4
"""Rates drawn at random, at least, before a searcher models what it was told."""

Trial = Mapping[str, Any]
"""The summary of a search trial (`fs_end`, `aues`), or `failed` in place of numbers."""


class Place(IntEnum):
    """Where the tuning seeds of one rate ended, worst first."""

    FAILED = 0
    """One of them has no result."""
    ABOVE = 1
    """Mean FS at or above the window."""
    BELOW = 2
    """Mean FS below its upper end, but not every seed inside."""
    INSIDE = 3


@dataclass(frozen=True, order=True)
class Rank:
    """How good a rate is; compares as the published rule does (Lee et al., appendix D).

    It wants FS at alpha = 1 close to 1 without reaching it: a window. Inside it the best AUES wins;
    if no rate gets there, the highest FS below `high`; else the smallest rate.
    """

    place: Place
    value: float
    """Larger is better among rates of the same place: mean AUES, mean FS, or minus the rate."""

    @classmethod
    def of(cls, lr: float, trials: Sequence[Trial], low: float, high: float) -> "Rank":
        """Judge a rate by its trials, one per tuning seed; the window is [low, high)."""
        if any("failed" in trial for trial in trials):
            return cls(Place.FAILED, -lr)
        ends = [trial["fs_end"] for trial in trials]
        if all(low <= fs < high for fs in ends):
            return cls(Place.INSIDE, fmean(trial["aues"] for trial in trials))
        mean = fmean(ends)
        return cls(Place.BELOW, mean) if mean < high else cls(Place.ABOVE, -lr)

    @property
    def score(self) -> float:
        """The same order as one number, for a searcher to maximise: AUES, or less than 0.

        Below the window the distance of FS from 1 is taken off. Above it FS no longer tells rates
        apart, so the rate itself does, as it does where training diverged.
        """
        if self.place is Place.INSIDE:
            return self.value
        if self.place is Place.BELOW:
            return self.value - 2
        return self.value / (1 - self.value) - (2 if self.place is Place.ABOVE else 3)


@dataclass(frozen=True)
class Choice:
    """The rate of one objective in one scenario, and why."""

    lr: float | None
    """None if every candidate failed."""
    in_window: bool
    """Whether FS ended inside the window on every tuning seed."""
    reason: str


def choose(tried: Mapping[float, Sequence[Trial]], low: float, high: float) -> Choice:
    """The highest `Rank`; of equals, the smallest rate. A rate that failed anywhere drops out."""
    ranks = {lr: Rank.of(lr, trials, low, high) for lr, trials in tried.items()}
    lr = max(ranks, key=lambda rate: (ranks[rate], -rate))
    best = ranks[lr]
    if best.place is Place.FAILED:
        return Choice(None, False, f"all {len(ranks)} candidates failed")
    if best.place is Place.INSIDE:
        inside = sum(rank.place is Place.INSIDE for rank in ranks.values())
        return Choice(lr, True, f"best AUES ({best.value:.3f}) of {inside} rates in the window")
    if best.place is Place.BELOW:
        reason = f"no rate in the window; highest FS below it ({best.value:.3f})"
        return Choice(lr, False, reason)
    end = fmean(trial["fs_end"] for trial in tried[lr])
    return Choice(lr, False, f"every rate reached FS {high:g}; smallest rate (FS {end:.3f})")


class Rounds(Protocol):
    """Where rates come from."""

    def ask(self) -> list[float]:
        """The next round's rates; none once the budget is spent."""

    def tell(self, scores: Mapping[float, float]) -> None:
        """What became of the rates of the last round."""


class Listed:
    """A grid: all its rates in one round."""

    def __init__(self, rates: Sequence[float]) -> None:
        self._left = list(rates)

    def ask(self) -> list[float]:
        """All rates, once."""
        asked, self._left = self._left, []
        return asked

    def tell(self, scores: Mapping[float, float]) -> None:
        """Nothing follows from it."""


class Searcher(Protocol):
    """What Ray Tune's searchers have in common."""

    def suggest(self, trial_id: str) -> dict[str, float]:
        """Values to try under a name."""

    def on_trial_complete(self, trial_id: str, result: dict[str, float]) -> None:
        """What they led to."""


class Suggested:
    """Rates that a searcher suggests: `budget` of them, `size` a round.

    They are cut to three digits, within [low, high]: what is printed is what was tried.
    """

    def __init__(self, searcher: Searcher, low: float, high: float, budget: int, size: int) -> None:
        self._searcher, self._low, self._high = searcher, low, high
        self._budget, self._size, self._spent = budget, size, 0
        self._open: dict[str, float] = {}

    def ask(self) -> list[float]:
        """As many as a round has, or as the budget leaves."""
        end = min(self._spent + self._size, self._budget)
        self._open = {str(n): self._suggest(str(n)) for n in range(self._spent, end)}
        self._spent = end
        return list(self._open.values())

    def tell(self, scores: Mapping[float, float]) -> None:
        """Passed on in the order asked, whatever came first."""
        for name, rate in self._open.items():
            self._searcher.on_trial_complete(name, {"score": scores[rate]})

    def _suggest(self, name: str) -> float:
        rate = float(f"{self._searcher.suggest(name)['lr']:.3g}")
        return min(max(rate, self._low), self._high)


class Search:
    """The search of one cell: every rate that was tried, in order, and its trials."""

    def __init__(self, rounds: Rounds, low: float, high: float) -> None:
        """[low, high) is the window for FS at alpha = 1."""
        self.tried: dict[float, list[Trial]] = {}
        self._rounds, self._low, self._high = rounds, low, high

    def ask(self) -> dict[float, int]:
        """The next round's rates, each with its turn (1, 2, ...) in the search."""
        asked = self._rounds.ask()
        for rate in asked:
            self.tried.setdefault(rate, [])
        turns = {rate: turn for turn, rate in enumerate(self.tried, start=1)}
        return {rate: turns[rate] for rate in asked}

    def tell(self, found: Mapping[float, Sequence[Trial]]) -> None:
        """The trials of the last round's rates, one per tuning seed."""
        for rate, trials in found.items():
            self.tried[rate] = list(trials)
        ranks = {rate: Rank.of(rate, found[rate], self._low, self._high) for rate in found}
        self._rounds.tell({rate: rank.score for rate, rank in ranks.items()})

    def choice(self) -> Choice:
        """The best rate of all rounds."""
        return choose(self.tried, self._low, self._high)
