"""From a study to a graph of keyed stages. Equal stages have equal keys and appear once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lacuna.data import SplitConfig
from lacuna.errors import UserError
from lacuna.localize import LOCALIZERS
from lacuna.localize.evidence import TARGET
from lacuna.pipeline import WEIGHTS
from lacuna.unlearn import OBJECTIVES, parse
from lacuna.unlearn.edits.base import Edit
from sweeps.config.schema import build
from sweeps.plan.search import kept
from sweeps.plan.stages import Cell, Stages
from sweeps.stage import Stage


@dataclass(frozen=True)
class Planner(Stages):
    """Says which stages a study has."""

    def setup(self) -> list[Stage]:
        """All that trials stand on, parents first: injection finishes before trials start."""
        stages: dict[str, Stage] = {}
        tuning = self.config.search.seeds if self.searched() else []
        for seed in [*tuning, *self.config.seeds]:
            for ratio in self.ratios():
                both = [self.retained(seed), self.injected(seed, ratio)]
                if self.divided:
                    both.reverse()
                for stage in (self.base(), *both, *self.regions(seed, ratio)):
                    stages.setdefault(stage.key, stage)
        for seed in self.config.seeds:
            for ratio in self.ratios():
                survey = self.survey(seed, ratio)
                stages.setdefault(survey.key, survey)
        return list(stages.values())

    def cells(self) -> list[Cell]:
        """The whole grid; an objective that cannot be confined has the scenario `full` only."""
        config = self.config
        return [
            Cell(ratio, objective, scenario)
            for ratio in self.ratios()
            for objective in config.objectives
            for scenario in config.scenarios
            if scenario == "full" or OBJECTIVES[parse(objective).objective].confined
        ]

    def searched(self) -> list[Cell]:
        """Cells whose rate has to be found."""
        return [cell for cell in self.cells() if len(self.candidates(cell)) > 1]

    def search(
        self,
        asked: Mapping[Cell, Mapping[float, int]],
        steps: Mapping[Cell, int] | None = None,
    ) -> list[Stage]:
        """Search trials of rates, each with its turn in its cell's search, on all tuning seeds and
        validation fields.

        `steps` are fewer than a whole trial's where a rung is asked for (`rungs`).
        """
        return [
            self.trial(cell, lr, seed, "search", turn, (steps or {}).get(cell), field)
            for cell, rates in asked.items()
            for lr, turn in rates.items()
            for seed in self.config.search.seeds
            for field in self.tuned_on()
        ]

    def tuned_on(self) -> Sequence[str | None]:
        """The validation fields that every rate is tried on; None is the main split."""
        if not self.divided:
            return [None]
        return build(SplitConfig, self.plain["masked"]["splits"]).tuned_on or [None]

    def tests(self, rates: Mapping[Cell, float]) -> list[Stage]:
        """Test trials at the chosen rates; a cell whose candidates all failed has none."""
        return [
            self.trial(cell, rates[cell], seed, "test")
            for cell in self.cells()
            if cell in rates
            for seed in self.config.seeds
        ]

    def controls(self) -> list[Stage]:
        """The attacks on retained and injected models."""
        stages = []
        for seed in self.config.seeds:
            names = ["base", "retained"] if self.by_weight else ["retained"]
            stages += [self.control(name, seed) for name in names]
            stages += [self.control("injected", seed, ratio) for ratio in self.ratios()]
        return list({stage.key: stage for stage in stages}.values())

    def bounds(self, cell: Cell) -> tuple[float, float]:
        """Between which rates a searcher may choose; meaningless unless `searched`."""
        search, rates = self.config.search, self.candidates(cell)
        low = min(rates) if search.low is None else search.low
        high = max(rates) if search.high is None else search.high
        return float(low), float(high)

    def rungs(self, cell: Cell) -> list[int]:
        """Steps after which the cell's rates are looked at, the last a whole trial's.

        An edit makes no steps, so it has no curve to stop on.
        """
        search, whole = self.config.search, self.config.unlearn.train.steps
        if issubclass(OBJECTIVES[parse(cell.objective).objective], Edit):
            return [whole]
        fewer = {whole // search.eta**power for power in range(1, search.rungs + 1)}
        return [*sorted(fewer - {0, whole}), whole]

    def foreseen_search(self, cell: Cell) -> list[list[Stage]]:
        """The trials that a cell's search will take, each as all that it may turn out to be.

        Which rates climb is not known beforehand, nor whether others have to follow them.
        """
        search, rates = self.config.search, self.foreseen(cell)
        size = len(rates) if search.method == "grid" else search.round
        found = []
        for start in range(0, len(rates), size):
            asked, rungs = rates[start : start + size], self.rungs(cell)
            number = len(asked)
            for steps in rungs if number > 1 else rungs[-1:]:
                trials = self.search({cell: dict.fromkeys(asked, 0)}, {cell: steps})
                groups = number * len(search.seeds) * len(self.tuned_on())
                found += [trials[n::groups] for n in range(groups)]
                number = kept(number, search.eta)
        return found

    def foreseen(self, cell: Cell) -> list[float]:
        """As many rates as will be tried; of a searcher's only the number is known beforehand."""
        search, rates = self.config.search, self.candidates(cell)
        if search.method == "grid" or len(rates) == 1:
            return rates
        low, high = self.bounds(cell)
        return [float(rate) for rate in np.geomspace(low, high, search.trials + 2)[1:-1]]

    def candidates(self, cell: Cell) -> list[float]:
        """GridRates rates: the fixed one, or the recipe's for this scenario and objective."""
        _, objective, scenario = cell
        if self.config.unlearn.lr is not None:
            return [_rate(self.config.unlearn.lr)]
        table = self.plain["unlearn"]["lrs"]
        kind = "full" if scenario == "full" else "region"
        base = parse(objective).objective
        listed = [
            table.get(place, {}).get(name)
            for name in dict.fromkeys((objective, base))
            for place in (scenario, kind)
        ]
        rates = next(filter(None, listed), OBJECTIVES[base].rates)
        if not rates:
            raise UserError(
                f"no learning rates for objective {objective!r} in scenario {scenario!r}: set "
                f"unlearn.lr=RATE or +unlearn.lrs.{kind}.{objective}=[RATE,...]"
            )
        return [_rate(rate) for rate in rates]

    def regions(self, seed: int, ratio: float) -> list[Stage]:
        """The localizers that scenarios need, one stage each."""
        return [self._localized(seed, ratio, (name,)) for name in self.scenario_localizers()]

    def survey(self, seed: int, ratio: float) -> Stage:
        """All localizers of the precision table, sharing their gradient passes."""
        return self._localized(seed, ratio, tuple(self.config.localizers or self.known()))

    def known(self) -> list[str]:
        """Localizers that can be asked."""
        return [name for name in LOCALIZERS if self.unfit(name) is None]

    def unfit(self, localizer: str) -> str | None:
        """Why a localizer cannot be asked, or None."""
        told = TARGET in LOCALIZERS[localizer].privileges
        if self.everywhere and told:
            return "needs a target region, and inject.method=full plants facts everywhere"
        if self.single and not LOCALIZERS[localizer].scores_weights():
            return "scores whole value vectors, and region.unit=weight ranks single weights"
        if self.by_weight and told and localizer not in WEIGHTS:
            return (
                "is told which value vectors hold the facts, and under protocol lacuna single "
                "weights do"
            )
        return None

    def samples(self) -> list[Stage]:
        """A stage of every kind: where these fit, all of the study does."""
        seed, ratio, cell = self.config.seeds[0], self.ratios()[0], self.cells()[0]
        return [
            self.base(),
            self.retained(seed),
            self.injected(seed, ratio),
            self.survey(seed, ratio),
            self.trial(cell, self.candidates(cell)[0], seed, "test"),
            self.control("retained", seed),
        ]

    def scenario_localizers(self) -> list[str]:
        """Localizers that give the scenarios their regions."""
        names = [s for s in self.config.scenarios if s not in ("oracle", "full")]
        return [self.localizer(name) for name in names]


def _rate(value: Any) -> float:
    """A learning rate as the user gave it."""
    if not isinstance(value, int | float) or not (value >= 0 and math.isfinite(value)):
        raise UserError(f"learning rate {value!r}: must be a finite number, 0 or more")
    return float(value)
