"""From a study to a graph of keyed stages. Equal stages have equal keys and appear once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from lacuna.data import Corpus
from lacuna.localize import LOCALIZERS
from lacuna.model import Layout, Preflight
from lacuna.report.cells import BASELINE, ORACLE
from lacuna.train import Parallel
from lacuna.unlearn import OBJECTIVES, parse
from sweeps.config.schema import Study
from sweeps.plan.protocols import Protocol
from sweeps.plan.rates import Rates
from sweeps.plan.search import kept
from sweeps.plan.stages import Cell, StageFactory
from sweeps.stage import Stage


@dataclass(frozen=True)
class Planner:
    """Decides which stages a study has. `stages` makes each; `rates` lists learning rates."""

    config: Study
    corpus: Corpus
    layout: Layout
    """The model's value vectors, known before any weight is loaded."""
    preflights: Mapping[str, Preflight] = field(default_factory=dict)
    """What was checked of the `model`, but for the embedded one, and of a `checkpoint`."""

    @cached_property
    def stages(self) -> StageFactory:
        """Makes and names each stage."""
        return StageFactory(self.config, self.corpus, self.layout)

    @cached_property
    def rates(self) -> Rates:
        """The learning rates of each cell."""
        return Rates(self.config)

    @property
    def ratios(self) -> list[float]:
        """The mask ratios; each has a grid of its own."""
        return self.config.region.ratios

    @property
    def protocol(self) -> Protocol:
        """How facts are planted."""
        return self.stages.protocol

    def setup(self) -> list[Stage]:
        """All that trials stand on, parents first: injection finishes before trials start."""
        make, stages = self.stages, list[Stage]()
        tuning = self.config.search.seeds if self.searched() else []
        for seed in [*tuning, *self.config.seeds]:
            for ratio in self.ratios:
                stages += [make.base(), make.retained(seed), make.injected(seed, ratio)]
                stages += self.regions(seed, ratio)
        for seed in self.config.seeds:
            stages += [self.survey(seed, ratio) for ratio in self.ratios]
        return _parents_first(stages)

    def cells(self) -> list[Cell]:
        """The whole grid; an objective that cannot be confined has the scenario `full` only."""
        config = self.config
        return [
            Cell(ratio, objective, scenario)
            for ratio in self.ratios
            for objective in config.objectives
            for scenario in config.scenarios
            if scenario == "full" or OBJECTIVES[parse(objective).objective].confined
        ]

    def searched(self) -> list[Cell]:
        """The cells that have more than one candidate rate, so that a search must choose."""
        return [cell for cell in self.cells() if len(self.rates.candidates(cell)) > 1]

    def search(
        self,
        asked: Mapping[Cell, Mapping[float, int]],
        steps: Mapping[Cell, int] | None = None,
    ) -> list[Stage]:
        """The search trials of some rates, one for each tuning seed and validation field.

        `asked` maps a cell to its rates, each with its turn in the cell's search. `steps` are fewer
        than a whole trial's where a rung is asked for (`Rates.rungs`).
        """
        return [
            self.stages.trial(cell, lr, seed, "search", turn, (steps or {}).get(cell), field)
            for cell, rates in asked.items()
            for lr, turn in rates.items()
            for seed in self.config.search.seeds
            for field in self.protocol.tuned_on()
        ]

    def tests(self, rates: Mapping[Cell, float]) -> list[Stage]:
        """Test trials at the chosen rates; a cell whose candidates all failed has none."""
        return [
            self.stages.trial(cell, rates[cell], seed, "test", region=region)
            for cell in self.cells()
            if cell in rates
            for seed in self.seeds(cell.scenario)
            for region in self.numbers(cell.scenario)
        ]

    def seeds(self, scenario: str) -> list[int]:
        """The test seeds that a scenario is run on."""
        config = self.config
        return config.seeds[: config.scenario_seeds.get(scenario, len(config.seeds))]

    def numbers(self, scenario: str) -> range:
        """Numbers of the regions that a test seed is unlearned in: several in `random` only."""
        return range(1, 1 + (self.config.regions if scenario == BASELINE else 1))

    def controls(self) -> list[Stage]:
        """The attacks on retained and injected models."""
        make, stages = self.stages, []
        for seed in self.config.seeds:
            stages += [make.control(name, seed) for name in self.protocol.controls]
            stages += [make.control("injected", seed, ratio) for ratio in self.ratios]
        return list({stage.key: stage for stage in stages}.values())

    def foreseen_search(self, cell: Cell) -> list[list[Stage]]:
        """The trials that a cell's search will make, each as a list of what it may turn out to be.

        Which rates pass a rung is not known beforehand, so every rate is listed for each place.
        """
        search, rates = self.config.search, self.rates.foreseen(cell)
        size = len(rates) if search.method == "grid" else search.round
        found = []
        for start in range(0, len(rates), size):
            asked, rungs = rates[start : start + size], self.rates.rungs(cell)
            number = len(asked)
            for steps in rungs if number > 1 else rungs[-1:]:
                trials = self.search({cell: dict.fromkeys(asked, 0)}, {cell: steps})
                groups = number * len(search.seeds) * len(self.protocol.tuned_on())
                found += [trials[n::groups] for n in range(groups)]
                number = kept(number, search.eta)
        return found

    def regions(self, seed: int, ratio: float) -> list[Stage]:
        """The localized stages of each scenario that takes its region from a localizer.

        On a tuning seed the first random region only: rates are searched in that one.
        """
        test, localizer = seed in self.config.seeds, self.protocol.localizer
        return [
            self.stages.localized(seed, ratio, (localizer(scenario),), region)
            for scenario in self.protocol.localized_scenarios()
            if not test or seed in self.seeds(scenario)
            for region in (self.numbers(scenario) if test else (1,))
        ]

    def survey(self, seed: int, ratio: float) -> Stage:
        """One stage with all localizers of the precision table, which share gradient passes.

        Where regions are exchanged, the true one and a random one are always among them.
        """
        names, swapped = self.config.localizers or self.known(), self.config.evaluate.transplant
        if swapped:
            names = list(dict.fromkeys([*names, ORACLE, BASELINE]))
        rescalings = self.config.evaluate.rescalings
        return self.stages.localized(
            seed, ratio, tuple(names), swapped=swapped, rescalings=rescalings
        )

    def known(self) -> list[str]:
        """The localizers of a survey that names none: those that work under this protocol."""
        surveyed = [name for name, method in LOCALIZERS.items() if method.surveyed]
        return [name for name in surveyed if self.protocol.unfit(name) is None]

    def samples(self) -> list[Stage]:
        """One stage of every kind. A cluster that can hold these can hold the whole study."""
        seed, ratio, cell = self.config.seeds[0], self.ratios[0], self.cells()[0]
        return [
            self.stages.base(),
            self.stages.retained(seed),
            self.stages.injected(seed, ratio),
            self.survey(seed, ratio),
            self.stages.trial(cell, self.rates.candidates(cell)[0], seed, "test"),
            self.stages.control("retained", seed),
        ]

    @property
    def spread(self) -> dict[str, Parallel]:
        """Kinds of stages whose training is spread over devices; `SPREAD` has their keys."""
        config = self.config
        asked = {
            "retained": config.retained.recipe.parallel,
            "injected": config.inject.parallel,
            "trial": config.unlearn.parallel,
        }
        return {kind: parallel for kind, parallel in asked.items() if parallel.zero}


def _parents_first(stages: Iterable[Stage]) -> list[Stage]:
    """The stages without repetition, parents before children, otherwise in the given order."""
    planned = {stage.key: stage for stage in stages}
    ordered: dict[str, Stage] = {}

    def add(stage: Stage) -> None:
        for key in stage.inputs.values():
            if key in planned and key not in ordered:
                add(planned[key])
        ordered[stage.key] = stage

    for stage in planned.values():
        if stage.key not in ordered:
            add(stage)
    return list(ordered.values())
