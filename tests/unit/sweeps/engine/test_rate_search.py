"""A study's search without its training: which trials it asks for, rung by rung."""

import math
from collections.abc import Iterable
from statistics import fmean

from support import records

from lacuna.results import SearchSummary
from sweeps.config.compose import configure
from sweeps.engine.rate_search import OptunaSearcher, find_rates, rate_of
from sweeps.plan.make import make_planner
from sweeps.plan.search import SuggestedRates
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


def test_rates_are_suggested_alike_by_equal_seeds_and_follow_what_earlier_ones_led_to() -> None:
    def error(rate: float, best: float) -> float:
        return abs(math.log10(rate / best))

    def tried(seed: int, best: float) -> list[float]:
        searcher = OptunaSearcher(1e-5, 1e-1, seed, startup=4)
        rounds, rates = SuggestedRates(searcher, 1e-5, 1e-1, budget=16, size=4), list[float]()
        while asked := rounds.ask():
            rounds.tell({rate: -error(rate, best) for rate in asked})
            rates += asked
        return rates

    rates = tried(1, 1e-3)
    assert rates == tried(1, 1e-3) and len(rates) == 16
    assert rates != tried(2, 1e-3)
    other = tried(1, 1e-5)
    assert rates[:4] == other[:4] and rates[4:] != other[4:]
    drawn, modelled = ([error(rate, 1e-3) for rate in part] for part in (rates[:4], rates[8:]))
    assert fmean(modelled) < fmean(drawn)
    assert all(1e-5 <= rate <= 1e-1 for rate in [*rates, *other])
