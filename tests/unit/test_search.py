"""The rule that chooses a learning rate."""

from typing import Any

from sweeps.search import choose


def trial(lr: float, fs: float, aues: float = 0.5) -> dict[str, Any]:
    return {"lr": lr, "fs_end": fs, "aues": aues}


def test_the_best_aues_inside_the_window_wins_over_a_better_one_outside() -> None:
    trials = [trial(1e-3, 0.91, 0.6), trial(2e-3, 0.95, 0.8), trial(4e-3, 0.999, 0.9)]
    choice = choose(trials, 0.9, 0.99)
    assert (choice.lr, choice.in_window) == (2e-3, True)
    assert "0.800" in choice.reason and "2 rates" in choice.reason


def test_a_rate_must_be_inside_the_window_on_every_tuning_seed() -> None:
    trials = [trial(1e-3, 0.92, 0.6), trial(1e-3, 0.93, 0.6)]
    trials += [trial(2e-3, 0.95, 0.9), trial(2e-3, 0.80, 0.9)]
    assert choose(trials, 0.9, 0.99).lr == 1e-3


def test_the_window_is_closed_below_and_open_above() -> None:
    assert choose([trial(1e-3, 0.9)], 0.9, 0.99).in_window
    assert not choose([trial(1e-3, 0.99)], 0.9, 0.99).in_window


def test_without_a_rate_in_the_window_the_strongest_below_it_is_taken() -> None:
    choice = choose([trial(1e-3, 0.3), trial(2e-3, 0.7), trial(4e-3, 1.0)], 0.9, 0.99)
    assert (choice.lr, choice.in_window) == (2e-3, False)


def test_if_every_rate_overshoots_the_smallest_is_taken() -> None:
    choice = choose([trial(4e-3, 1.0), trial(2e-3, 0.995)], 0.9, 0.99)
    assert (choice.lr, choice.in_window) == (2e-3, False)


def test_equal_rates_are_decided_for_the_smaller() -> None:
    assert choose([trial(4e-3, 0.95, 0.7), trial(2e-3, 0.93, 0.7)], 0.9, 0.99).lr == 2e-3


def test_failed_candidates_drop_out_and_all_failed_leaves_no_rate() -> None:
    failed = {"failed": "Diverged: loss is nan", "label": "x", "tags": {}}
    assert choose([failed, trial(1e-3, 0.95)], 0.9, 0.99).lr == 1e-3
    choice = choose([failed, failed], 0.9, 0.99)
    assert (choice.lr, choice.reason) == (None, "all 2 candidates failed")
