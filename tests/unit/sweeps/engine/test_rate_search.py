"""A study's search without its training: which trials it asks for, rung by rung."""

from collections.abc import Iterable

from support import records

from lacuna.results import SearchSummary
from sweeps.config.compose import configure
from sweeps.engine.rate_search import find_rates
from sweeps.plan.make import make_planner
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
