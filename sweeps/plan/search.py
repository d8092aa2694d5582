"""Finding a learning rate: rates are tried in rounds, and the best of all is chosen.

A grid is one round. `search.method=optuna` lets Optuna suggest rates, from here and not from inside
a `Tuner` of Ray's: there, results would reach it in the order in which workers finish, a rate tried
on several tuning seeds would be several results, and only one of a study's searches could run at a
time. Here a round's rates are asked for together and told together, in the
order asked. Suggestions then depend on the seed and the scores alone: a study that starts again is
suggested the same rates, finds their trials in the store, and goes on where it was.

`search.rungs` stops rates early, by successive halving (Jamieson & Talwalkar, 2016,
arXiv:1502.07943). Ray Tune's ASHA is its asynchronous form: which trials it stops depends on who
comes first, so the same command could choose other rates. Here all rates of a round are looked at
together, after trials of fewer steps that are results with keys of their own.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from statistics import fmean
from typing import Protocol

from lacuna.results import Failure, SearchSummary

METHODS = ("grid", "optuna")
STARTUP = 4
"""Rates that a searcher draws at random, at least, before it models the scores it was given."""

Trial = SearchSummary | Failure


class Outcome(IntEnum):
    """Where the tuning seeds of one rate ended, worst first."""

    FAILED = 0
    """A seed has no result."""
    ABOVE = 1
    """Mean forget strength at or above the window."""
    BELOW = 2
    """Mean forget strength below the window's upper end, but not every seed inside."""
    INSIDE = 3
    """Every seed inside the window."""


@dataclass(frozen=True, order=True)
class Rank:
    """How good a rate is; compares as the published rule does (Lee et al., appendix B).

    It wants FS at alpha = 1 close to 1 without reaching it: a window. Inside it the best AUES wins;
    if no rate gets there, the highest FS below `high`; else the smallest rate.
    """

    place: Outcome
    value: float
    """Larger is better among rates of the same place: mean AUES, mean FS, or minus the rate."""

    @classmethod
    def of(cls, lr: float, trials: Sequence[Trial], low: float, high: float) -> "Rank":
        """Judge a rate by its trials, one per tuning seed; the window is [low, high)."""
        finished = [trial for trial in trials if "failed" not in trial]
        if len(finished) < len(trials):
            return cls(Outcome.FAILED, -lr)
        ends = [trial["fs_end"] for trial in finished]
        if all(low <= fs < high for fs in ends):
            return cls(Outcome.INSIDE, fmean(trial["aues"] for trial in finished))
        mean = fmean(ends)
        return cls(Outcome.BELOW, mean) if mean < high else cls(Outcome.ABOVE, -lr)

    @property
    def score(self) -> float:
        """The same order as one number, for a searcher to maximise: AUES, or less than 0.

        Below the window the distance of FS from 1 is taken off. Above it FS no longer tells rates
        apart, so the rate itself does, as it does where training diverged.
        """
        if self.place is Outcome.INSIDE:
            return self.value
        if self.place is Outcome.BELOW:
            return self.value - 2
        return self.value / (1 - self.value) - (2 if self.place is Outcome.ABOVE else 3)


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
    if best.place is Outcome.FAILED:
        return Choice(None, False, f"all {len(ranks)} candidates failed")
    if best.place is Outcome.INSIDE:
        inside = sum(rank.place is Outcome.INSIDE for rank in ranks.values())
        return Choice(lr, True, f"best AUES ({best.value:.3f}) of {inside} rates in the window")
    if best.place is Outcome.BELOW:
        reason = f"no rate in the window; highest FS below it ({best.value:.3f})"
        return Choice(lr, False, reason)
    end = fmean(trial["fs_end"] for trial in tried[lr] if "failed" not in trial)
    return Choice(lr, False, f"every rate reached FS {high:g}; smallest rate (FS {end:.3f})")


class RateSource(Protocol):
    """Gives the rates of a search, round by round."""

    def ask(self) -> list[float]:
        """The next round's rates; none once the budget is spent."""

    def tell(self, scores: Mapping[float, float]) -> None:
        """Report the scores of the rates of the last round."""


class GridRates:
    """A grid: all its rates in one round."""

    def __init__(self, rates: Sequence[float]) -> None:
        self._left = list(rates)

    def ask(self) -> list[float]:
        """All rates, once."""
        asked, self._left = self._left, []
        return asked

    def tell(self, scores: Mapping[float, float]) -> None:
        """A grid does not depend on scores."""


class Searcher(Protocol):
    """Suggests one rate at a time, each under a name of the caller's."""

    def suggest(self, name: str) -> float:
        """A rate to try."""

    def tell(self, name: str, score: float) -> None:
        """Report the score of the rate of this name."""


class SuggestedRates:
    """Rates that a searcher suggests: `budget` of them, `size` a round.

    They are cut to three digits, within [low, high]: what is printed is what was tried.
    """

    def __init__(self, searcher: Searcher, low: float, high: float, budget: int, size: int) -> None:
        self._searcher, self._low, self._high = searcher, low, high
        self._budget, self._size, self._spent = budget, size, 0
        self._open: dict[str, float] = {}

    def ask(self) -> list[float]:
        """The next `size` rates, or fewer where the budget ends."""
        end = min(self._spent + self._size, self._budget)
        self._open = {str(n): self._suggest(str(n)) for n in range(self._spent, end)}
        self._spent = end
        return list(self._open.values())

    def tell(self, scores: Mapping[float, float]) -> None:
        """Report scores in the order in which rates were asked for, whichever ended first."""
        for name, rate in self._open.items():
            self._searcher.tell(name, scores[rate])

    def _suggest(self, name: str) -> float:
        rate = float(f"{self._searcher.suggest(name):.3g}")
        return min(max(rate, self._low), self._high)


def kept(number: int, eta: int) -> int:
    """How many of `number` rates pass a rung: one of `eta`, rounded up."""
    return math.ceil(number / eta)


class Halving:
    """One round's rates, of which the better ones go on to more steps.

    A strong rate shows early, and may overshoot the window in the end. If all that came to the end
    did, the best of those stopped follow them, until one ends below it.
    """

    def __init__(self, rates: Sequence[float], rungs: Sequence[int], eta: int) -> None:
        """`rungs` are increasing numbers of steps; the last is a whole trial's."""
        self.asked = list(dict.fromkeys(rates))
        self._rates, self._rungs, self._eta = self.asked, rungs, eta
        self._level = 0 if len(self.asked) > 1 else len(rungs) - 1
        self._stopped: dict[float, Rank] = {}
        self._ended: dict[float, Rank] = {}

    @property
    def steps(self) -> int:
        """Steps of the trials asked for."""
        return self._rungs[self._level]

    @property
    def last(self) -> bool:
        """Whether the trials asked for are whole ones."""
        return self._level == len(self._rungs) - 1

    def tell(self, ranks: Mapping[float, Rank]) -> None:
        """Report the ranks of the asked rates after `steps` steps; decides which rates go on."""
        failed = {rate: rank for rate, rank in ranks.items() if rank.place is Outcome.FAILED}
        self._ended |= ranks if self.last else failed
        if self.last:
            overshot = all(rank.place <= Outcome.ABOVE for rank in self._ended.values())
            self.asked = self._best(self._stopped) if overshot else []
        else:
            self._stopped |= {rate: ranks[rate] for rate in ranks.keys() - failed.keys()}
            self.asked = self._best(ranks.keys() - failed.keys())
            self._level += 1
        for rate in self.asked:
            del self._stopped[rate]

    def ranks(self) -> dict[float, Rank]:
        """The rank of every rate; of one that was stopped, the rank that it had then."""
        found = self._stopped | self._ended
        return {rate: found[rate] for rate in self._rates}

    def _best(self, rates: Iterable[float]) -> list[float]:
        """The best of these rates, in the order in which they were first asked for."""
        ordered = sorted(rates, key=lambda rate: (self._stopped[rate], -rate), reverse=True)
        best = ordered[: kept(len(ordered), self._eta)]
        return [rate for rate in self._rates if rate in best]


class Search:
    """The search of one cell: every rate that was tried, in order, and its whole trials."""

    def __init__(
        self,
        rounds: RateSource,
        low: float,
        high: float,
        rungs: Sequence[int] = (0,),
        eta: int = 1,
    ) -> None:
        """[low, high) is the window for FS at alpha = 1; `rungs` as `Halving` has them."""
        self.tried: dict[float, list[Trial]] = {}
        self._rounds, self._low, self._high = rounds, low, high
        self._rungs, self._eta = rungs, eta
        self._round = Halving([], rungs, eta)

    @property
    def steps(self) -> int:
        """Steps of the trials asked for."""
        return self._round.steps

    def ask(self) -> dict[float, int]:
        """The next rates, each with its turn (1, 2, ...) in the search."""
        if not self._round.asked:
            self._round = Halving(self._rounds.ask(), self._rungs, self._eta)
        for rate in self._round.asked:
            self.tried.setdefault(rate, [])
        turns = {rate: turn for turn, rate in enumerate(self.tried, start=1)}
        return {rate: turns[rate] for rate in self._round.asked}

    def tell(self, found: Mapping[float, Sequence[Trial]]) -> None:
        """Report the trials of the rates last asked for, one per tuning seed."""
        ranks = {rate: Rank.of(rate, found[rate], self._low, self._high) for rate in found}
        for rate, trials in found.items():
            if self._round.last or ranks[rate].place is Outcome.FAILED:
                self.tried[rate] = list(trials)
        self._round.tell(ranks)
        if not self._round.asked:
            self._rounds.tell({rate: rank.score for rate, rank in self._round.ranks().items()})

    def choice(self) -> Choice:
        """The best rate of all rounds; one that was stopped is no candidate."""
        whole = {rate: trials for rate, trials in self.tried.items() if trials}
        return choose(whole, self._low, self._high)
