"""The rule that chooses a learning rate, and the rounds in which rates are tried."""

from itertools import permutations
from typing import Any

import pytest

from sweeps.plan.search import (
    GridRates,
    Halving,
    Outcome,
    Rank,
    Search,
    SuggestedRates,
    Trial,
    choose,
)

FAILED = {"failed": "Diverged: loss is nan", "label": "x", "tags": {}}


def trial(fs: float, aues: float = 0.5) -> dict[str, Any]:
    return {"fs_end": fs, "aues": aues}


def test_the_best_aues_inside_the_window_wins_over_a_better_one_outside() -> None:
    tried = {1e-3: [trial(0.91, 0.6)], 2e-3: [trial(0.95, 0.8)], 4e-3: [trial(0.999, 0.9)]}
    choice = choose(tried, 0.9, 0.99)
    assert (choice.lr, choice.in_window) == (2e-3, True)
    assert "0.800" in choice.reason and "2 rates" in choice.reason


def test_a_rate_must_be_inside_the_window_on_every_tuning_seed() -> None:
    tried = {
        1e-3: [trial(0.92, 0.6), trial(0.93, 0.6)],
        2e-3: [trial(0.95, 0.9), trial(0.80, 0.9)],
    }
    assert choose(tried, 0.9, 0.99).lr == 1e-3


def test_the_window_is_closed_below_and_open_above() -> None:
    assert choose({1e-3: [trial(0.9)]}, 0.9, 0.99).in_window
    assert not choose({1e-3: [trial(0.99)]}, 0.9, 0.99).in_window


def test_without_a_rate_in_the_window_the_strongest_below_it_is_taken() -> None:
    choice = choose({1e-3: [trial(0.3)], 2e-3: [trial(0.7)], 4e-3: [trial(1.0)]}, 0.9, 0.99)
    assert (choice.lr, choice.in_window) == (2e-3, False)
    assert "highest FS below it (0.700)" in choice.reason


def test_if_every_rate_overshoots_the_smallest_is_taken() -> None:
    choice = choose({4e-3: [trial(1.0)], 2e-3: [trial(0.995)]}, 0.9, 0.99)
    assert (choice.lr, choice.in_window) == (2e-3, False)
    assert "smallest rate (FS 0.995)" in choice.reason


def test_equal_rates_are_decided_for_the_smaller() -> None:
    assert choose({4e-3: [trial(0.95, 0.7)], 2e-3: [trial(0.93, 0.7)]}, 0.9, 0.99).lr == 2e-3


def test_a_rate_that_failed_on_any_tuning_seed_drops_out() -> None:
    both = {2e-3: [FAILED, trial(0.95, 0.9)], 1e-3: [trial(0.92, 0.6), trial(0.92, 0.6)]}
    assert choose(both, 0.9, 0.99).lr == 1e-3
    choice = choose({1e-3: [FAILED, trial(0.95)], 2e-3: [FAILED, FAILED]}, 0.9, 0.99)
    assert (choice.lr, choice.reason) == (None, "all 2 candidates failed")


def test_a_searcher_is_told_the_order_in_which_rates_are_chosen() -> None:
    worst_first: list[tuple[float, Trial]] = [
        (8e-1, FAILED),
        (1e-4, FAILED),
        (1e38, trial(1.0, 0.9)),
        (2e-3, trial(0.99, 0.9)),
        (1e-5, trial(0.0, 0.9)),
        (1e-1, trial(0.89, 0.1)),
        (3e-3, trial(0.95, 0.0)),
        (4e-3, trial(0.90, 0.7)),
    ]
    scores = [Rank.of(lr, [found], 0.9, 0.99).score for lr, found in worst_first]
    assert scores == sorted(scores) and len(set(scores)) == len(scores)
    for (lr, found), (other, better) in zip(worst_first[1:], worst_first[2:], strict=False):
        assert choose({lr: [found], other: [better]}, 0.9, 0.99).lr == other
    assert scores[-1] == 0.7, "inside the window the score is the AUES"


class Recorder:
    """Suggests rates from a list and writes down what it is told."""

    def __init__(self, rates: list[float]) -> None:
        self.rates, self.told = rates, list[tuple[str, float]]()

    def suggest(self, name: str) -> float:
        assert len(self.told) in (0, 3), "asked again before a whole round was told"
        return self.rates[int(name)]

    def tell(self, name: str, score: float) -> None:
        self.told.append((name, score))


@pytest.mark.parametrize("order", list(permutations([0.1, 0.2, 0.3])))
def test_results_are_told_in_the_order_asked_whatever_came_first(order: list[float]) -> None:
    searcher = Recorder([0.3, 0.1, 0.2, 0.25, 0.15])
    search = Search(SuggestedRates(searcher, 0.1, 0.3, budget=5, size=3), 0.9, 0.99)
    assert search.ask() == {0.3: 1, 0.1: 2, 0.2: 3}
    search.tell({rate: [trial(0.95, rate)] for rate in order})
    assert searcher.told == [("0", 0.3), ("1", 0.1), ("2", 0.2)]
    assert search.ask() == {0.25: 4, 0.15: 5}
    search.tell({0.15: [trial(0.95, 0.9)], 0.25: [FAILED]})
    assert search.ask() == {}
    assert list(search.tried) == [0.3, 0.1, 0.2, 0.25, 0.15]
    assert search.choice().lr == 0.15


def test_suggested_rates_have_three_digits_and_stay_inside_the_bounds() -> None:
    low, high = 1.23456e-4, 7.65432e-2
    searcher = Recorder([low, high, 0.0123456, 0.012349])
    rounds = SuggestedRates(searcher, low, high, budget=4, size=4)
    assert rounds.ask() == [low, 0.0765, 0.0123, 0.0123]
    rounds.tell({low: 1.0, 0.0765: 2.0, 0.0123: 3.0})
    assert [score for _, score in searcher.told] == [1.0, 2.0, 3.0, 3.0]


def test_a_rate_that_is_suggested_again_keeps_its_first_turn() -> None:
    search = Search(SuggestedRates(Recorder([0.2, 0.3, 0.1, 0.2]), 0.1, 0.3, 4, 3), 0.9, 0.99)
    assert search.ask() == {0.2: 1, 0.3: 2, 0.1: 3}
    search.tell({rate: [trial(0.95)] for rate in (0.1, 0.2, 0.3)})
    assert search.ask() == {0.2: 1}


def test_a_grid_is_one_round_of_all_its_rates() -> None:
    search = Search(GridRates([4e-3, 1e-3]), 0.9, 0.99)
    assert search.ask() == {4e-3: 1, 1e-3: 2}
    search.tell({4e-3: [trial(1.0)], 1e-3: [trial(0.95)]})
    assert search.ask() == {} and search.choice().lr == 1e-3


def test_a_place_outside_the_window_never_scores_like_one_inside() -> None:
    inside = Rank.of(1e-3, [trial(0.9, 0.0)], 0.9, 0.99)
    assert (inside.place, inside.score) == (Outcome.INSIDE, 0.0)
    for fs in (0.0, 0.5, 0.8999, 0.99, 1.0):
        assert Rank.of(1e-6, [trial(fs, 1.0)], 0.9, 0.99).score < 0


def climb(rates: list[float], rungs: list[int], eta: int, fs: Any) -> tuple[Search, list[Any]]:
    """A whole search whose trials end at `fs(rate, steps)`; who was asked for at which steps."""
    search, asked = Search(GridRates(rates), 0.9, 0.99, rungs, eta), []
    while rates := list(search.ask()):
        asked.append((search.steps, rates))
        search.tell({rate: [trial(fs(rate, search.steps))] for rate in rates})
    return search, asked


def test_each_rung_lets_the_better_part_through_and_only_whole_trials_are_chosen_from() -> None:
    rates = [0.1, 0.2, 0.3, 0.4, 0.5]
    search, asked = climb(rates, [10, 30, 90], 2, lambda rate, steps: rate + steps / 200)
    assert asked == [(10, rates), (30, [0.3, 0.4, 0.5]), (90, [0.4, 0.5])]
    assert search.choice().lr == 0.5 and search.choice().in_window
    assert {rate for rate, trials in search.tried.items() if trials} == {0.4, 0.5}


def test_what_was_stopped_follows_where_all_that_went_on_overshot() -> None:
    rates = [0.1, 0.2, 0.3, 0.4]
    search, asked = climb(rates, [1, 10], 4, lambda rate, steps: min(1.0, rate * steps**0.5))
    assert asked == [(1, rates), (10, [0.4]), (10, [0.3])]
    assert search.choice().lr == 0.3
    hopeless, asked = climb(rates, [1, 10], 2, lambda rate, steps: 1.0 if steps > 1 else rate)
    assert asked == [(1, rates), (10, [0.3, 0.4]), (10, [0.2]), (10, [0.1])]
    assert hopeless.choice().lr == 0.1 and not hopeless.choice().in_window


def test_a_rate_that_fails_on_a_rung_has_failed_and_goes_no_further() -> None:
    search = Search(GridRates([0.1, 0.2]), 0.9, 0.99, [5, 10], 2)
    assert search.ask() == {0.1: 1, 0.2: 2} and search.steps == 5
    search.tell({0.1: [trial(0.2)], 0.2: [FAILED]})
    assert search.ask() == {0.1: 1} and search.steps == 10
    search.tell({0.1: [trial(0.5)]})
    assert search.ask() == {} and search.tried[0.2] == [FAILED]
    assert search.choice().lr == 0.1
    search = Search(GridRates([0.1, 0.2]), 0.9, 0.99, [5, 10], 2)
    search.tell({rate: [FAILED] for rate in search.ask()})
    assert search.ask() == {} and search.choice().lr is None


def test_a_searcher_hears_of_stopped_rates_once_its_round_is_over() -> None:
    searcher = Recorder([0.1, 0.2, 0.3, 0.25])
    search = Search(SuggestedRates(searcher, 0.1, 0.3, budget=4, size=3), 0.9, 0.99, [5, 10], 3)
    search.tell({rate: [trial(rate)] for rate in search.ask()})
    assert searcher.told == [] and search.ask() == {0.3: 3}
    search.tell({0.3: [trial(0.95, 0.7)]})
    assert [(name, round(score, 3)) for name, score in searcher.told] == [
        ("0", -1.9),
        ("1", -1.8),
        ("2", 0.7),
    ]
    assert search.ask() == {0.25: 4} and search.steps == 10, "a rate alone has none to be ahead of"


def test_halving_does_not_depend_on_the_order_of_results() -> None:
    ranks = {rate: Rank.of(rate, [trial(0.5)], 0.9, 0.99) for rate in (0.1, 0.2, 0.3)}
    for order in permutations(ranks):
        halving = Halving([0.3, 0.1, 0.2], [1, 2], 2)
        halving.tell({rate: ranks[rate] for rate in order})
        assert halving.asked == [0.1, 0.2], "of equals the smaller, as asked for first"
