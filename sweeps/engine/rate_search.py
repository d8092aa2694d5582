"""Runs the searches for learning rates: the trials of all cells side by side in each round."""

from collections.abc import Iterable
from itertools import count
from typing import Protocol

from lacuna.results import Failure, Result, SearchSummary
from lacuna.seeds import derive
from sweeps.plan.planner import Planner
from sweeps.plan.search import (
    STARTUP,
    Choice,
    GridRates,
    RateSource,
    Search,
    SuggestedRates,
)
from sweeps.plan.stages import Cell
from sweeps.stage import Stage


class Runner(Protocol):
    """What runs trials: the engine."""

    def run_trials(self, stages: Iterable[Stage], phase: str) -> dict[str, Result]:
        """Result by key."""


class OptunaSearcher:
    """Optuna's tree-structured Parzen estimator for one log-uniform rate.

    Ray Tune's `OptunaSearch` asks and tells it the same, but is Ray.
    """

    def __init__(self, low: float, high: float, seed: int, startup: int) -> None:
        """Rates in [low, high]; scores are modelled once `startup` of them are known; the seed is
        below 2^32."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(n_startup_trials=startup, seed=seed)
        self._study = optuna.create_study(sampler=sampler, direction="maximize")
        self._space: dict[str, optuna.distributions.BaseDistribution] = {
            "lr": optuna.distributions.FloatDistribution(low, high, log=True)
        }
        self._asked: dict[str, optuna.Trial] = {}

    def suggest(self, name: str) -> float:
        """A rate to try, under this name."""
        self._asked[name] = self._study.ask(self._space)
        return float(self._asked[name].params["lr"])

    def tell(self, name: str, score: float) -> None:
        """The score of the rate of this name."""
        self._study.tell(self._asked.pop(name), score)


def find_rates(runner: Runner, planner: Planner) -> tuple[list[Stage], dict[Cell, Choice]]:
    """All search trials that were run, and every cell's rate."""
    searches = {cell: _search(planner, cell) for cell in planner.searched()}
    trials: list[Stage] = []
    for number in count(1):
        asked = {cell: rates for cell, search in searches.items() if (rates := search.ask())}
        if not asked:
            break
        again = f", round {number}" if number > 1 else ""
        stages = planner.search(asked, {cell: searches[cell].steps for cell in asked})
        results = runner.run_trials(stages, phase=f"search for learning rates{again}")
        found: dict[Cell, dict[float, list[SearchSummary | Failure]]] = {cell: {} for cell in asked}
        for stage in stages:
            tried = found[Cell.of(stage)].setdefault(rate_of(stage), [])
            tried.append(_search_result(results[stage.key]))
        for cell, by_rate in found.items():
            searches[cell].tell(by_rate)
        trials += stages
    choices = {
        cell: searches[cell].choice()
        if cell in searches
        else Choice(planner.rates.candidates(cell)[0], True, "given, not searched")
        for cell in planner.cells()
    }
    return trials, choices


def _search(planner: Planner, cell: Cell) -> Search:
    settings = planner.config.search
    rounds: RateSource = GridRates(planner.rates.candidates(cell))
    if settings.method == "optuna":
        low, high = planner.rates.bounds(cell)
        seed = derive(settings.seeds[0], "search") % 2**32
        searcher = OptunaSearcher(low, high, seed, startup=max(STARTUP, settings.round))
        rounds = SuggestedRates(searcher, low, high, settings.trials, settings.round)
    rungs = planner.rates.rungs(cell)
    return Search(rounds, settings.fs_low, settings.fs_high, rungs, settings.eta)


def rate_of(trial: Stage) -> float:
    """The learning rate of a trial."""
    return float(trial.param("train", dict)["lr"])


def _search_result(result: Result) -> SearchSummary | Failure:
    if "failed" in result:
        return result
    assert "purpose" in result and result["purpose"] == "search", "not a search trial"
    return result
