"""Which stages a scan for learning rates needs: a stage a rate, all else shared with the study.

Everything runs on the first tuning seed, so that no test seed has a part in the choice, and with
the study's own steps: `inject.train.steps` or `unlearn.train.steps` make it shorter.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from lacuna.errors import UserError
from lacuna.registry import suggest
from lacuna.report.cells import BASELINE
from sweeps.config.schema import Study
from sweeps.plan.planner import Planner
from sweeps.plan.stages import Cell
from sweeps.stage import Stage

KINDS = ("injected", "unlearned")
FOLD = 30.0
"""The lowest and the highest rate lie so many times below and above the study's, if unsaid."""
MOST = 64


@dataclass(frozen=True)
class Spread:
    """Rates to try, evenly spread in their logarithm; None: around those of the study."""

    number: int = 8
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.number <= MOST:
            raise UserError(f"--rates {self.number}: must be 2 to {MOST}")
        for name, rate in (("--low", self.low), ("--high", self.high)):
            if rate is not None and not (rate > 0 and math.isfinite(rate)):
                raise UserError(f"{name} {rate}: must be a finite rate above 0")

    def around(self, middle: float) -> list[float]:
        """The rates, rounded to three digits; raises `UserError` where they have no order."""
        low = middle / FOLD if self.low is None else self.low
        high = middle * FOLD if self.high is None else self.high
        if low >= high:
            raise UserError(f"--low {low:g} is not below --high {high:g}: give another")
        return [float(f"{rate:.3g}") for rate in np.geomspace(low, high, self.number)]


@dataclass(frozen=True)
class Tried:
    """One rate in one place."""

    lr: float
    stage: Stage
    cell: Cell | None = None
    """Where it unlearns; None: it injects."""


@dataclass(frozen=True)
class Scan:
    """The stages of a scan: what it stands on, parents first, then a stage a rate."""

    before: list[Stage]
    tried: list[Tried]


def scan(planner: Planner, kind: str, spread: Spread) -> Scan:
    """Raises `UserError` for a kind that cannot be scanned, or a study without a tuning seed."""
    if kind not in KINDS:
        raise UserError(f"unknown --stage {kind!r}{suggest(kind, list(KINDS))}")
    seed, ratio = planner.config.search.seeds[0], planner.ratios[0]
    before = [planner.stages.base(), planner.stages.retained(seed)]
    if kind == "injected":
        return Scan(before, list(_injections(planner, seed, ratio, spread)))
    before += [planner.stages.injected(seed, ratio), *planner.regions(seed, ratio)]
    return Scan(before, list(_unlearnings(planner, ratio, spread)))


def _injections(planner: Planner, seed: int, ratio: float, spread: Spread) -> Iterator[Tried]:
    if planner.config.checkpoint is not None:
        raise UserError(
            "checkpoint= is an injected model already: scan --stage unlearned, or leave it out"
        )
    for rate in spread.around(injection_rate(planner.config)):
        other = replace(planner, config=with_injection_rate(planner.config, rate))
        yield Tried(rate, other.stages.injected(seed, ratio))


def injection_rate(config: Study) -> float:
    """The study's rate of injection, under either protocol."""
    return config.masked.inject.lr if config.protocol == "lacuna" else config.inject.train.lr


def with_injection_rate(config: Study, rate: float) -> Study:
    """The study with another one."""
    if config.protocol == "lacuna":
        masked = replace(config.masked, inject=replace(config.masked.inject, lr=rate))
        return replace(config, masked=masked)
    inject = replace(config.inject, train=replace(config.inject.train, lr=rate))
    return replace(config, inject=inject)


def _unlearnings(planner: Planner, ratio: float, spread: Spread) -> Iterator[Tried]:
    """A trial a rate: of each objective in all parameters, and in one region, a random one if the
    study has any."""
    cells = [cell for cell in planner.cells() if cell.ratio == ratio]
    for objective in planner.config.objectives:
        own = {cell.scenario: cell for cell in cells if cell.objective == objective}
        confined = [name for name in own if name != "full"]
        places = [BASELINE] if BASELINE in confined else confined[:1]
        for scenario in [*places, *(name for name in own if name == "full")]:
            cell = own[scenario]
            listed = planner.rates.candidates(cell)
            middle = math.exp(sum(map(math.log, listed)) / len(listed)) if min(listed) > 0 else 0.0
            if not middle:
                raise UserError(f"{objective}, {scenario}: a listed rate is 0: list others")
            rates = dict.fromkeys(spread.around(middle), 0)
            first = replace(planner.config.search, seeds=planner.config.search.seeds[:1])
            alone = replace(planner, config=replace(planner.config, search=first))
            for trial in alone.search({cell: rates}):
                yield Tried(float(trial.param("train", dict)["lr"]), trial, cell)
