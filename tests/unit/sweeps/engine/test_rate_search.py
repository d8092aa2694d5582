"""A study's search without its training: which trials it asks for, rung by rung."""

from collections.abc import Iterable

from support import records

from lacuna.results import SearchSummary
from sweeps.config.compose import configure
from sweeps.engine.rate_search import find_rates, rate_of
from sweeps.engine.ray_env import settle_local_ray
from sweeps.engine.tuning import optuna_searcher
from sweeps.plan.make import make_planner
from sweeps.plan.search import Searcher
from sweeps.stage import Stage


class Calculated:
    """An engine whose trials forget as much as rate and steps say; notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[set[tuple[float, int]]] = []

    def run_trials(self, stages: Iterable[Stage], phase: str) -> dict[str, SearchSummary]:
        results, asked = {}, set()
        for stage in stages:
            train = stage.params["train"]
            fs = min(1.0, train["lr"] * train["steps"] / 90)
            results[stage.key] = records.search(fs, aues=fs / 2)
            asked.add((train["lr"], train["steps"]))
        self.asked.append(asked)
        return results

    def searcher(self, low: float, high: float, seed: int, startup: int) -> Searcher:
        settle_local_ray()  # as the engine does: what imports Ray reads the environment then
        return optuna_searcher(low, high, seed, startup)


def test_a_search_with_rungs_trains_few_rates_to_the_end_and_chooses_one_of_them() -> None:
    words = ["unlearn.lrs.region.npo=[0.3,0.6,0.95,2]", "unlearn.train.steps=90"]
    words += ["objectives=[npo]", "scenarios=[oracle,random]", "search.rungs=1", "search.eta=3"]
    planner, engine = make_planner(configure(["study=smoke", *words])), Calculated()
    trials, choices = find_rates(engine, planner)
    assert engine.asked == [
        {(0.3, 30), (0.6, 30), (0.95, 30), (2.0, 30)},
        {(0.95, 90), (2.0, 90)},
    ]
    assert len(trials) == 2 * 6
    assert {(choice.lr, choice.in_window) for choice in choices.values()} == {(0.95, True)}


def test_a_longer_search_goes_on_from_a_shorter_one_as_if_it_were_one() -> None:
    words = ["study=smoke", "objectives=[npo]", "scenarios=[oracle,random]"]
    words += ["search.method=optuna", "search.round=2"]
    found = {}
    for number in (2, 5, 5):
        planner = make_planner(configure([*words, f"search.trials={number}"]))
        trials, _ = find_rates(Calculated(), planner)
        for scenario in ("oracle", "random"):
            own = [stage for stage in trials if stage.tags["scenario"] == scenario]
            found.setdefault(scenario, []).append([(rate_of(s), s.key) for s in own])
    for short, longer, again in found.values():
        assert short == longer[:2] and len(longer) == 5 and longer == again
    rates = [[rate for rate, _ in longer] for _, longer, _ in found.values()]
    assert rates[0] == rates[1], "alike, as their results are"
