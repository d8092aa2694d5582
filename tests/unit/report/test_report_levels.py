"""Table `levels`: what is kept where forget strength first reaches .5, .8, .9 and .95."""

import pytest
from support.reports import Record, failed_trial, made, trial

from lacuna.report import Results
from lacuna.significance import t_interval


def curved(scenario: str, seed: int, low: float, end: float = 1.0, **more: object) -> Record:
    """FS rises to `end` in two equal steps; RS and MU fall by `low` in the second one."""
    found = trial(scenario, seed, **more)
    found["summary"]["curve"] |= {
        "fs": [0.0, end / 2, end], "rs": [1.0, 1.0, 1 - low], "mu": [0.6, 0.6, 0.6 - low],
    }  # fmt: skip
    found["summary"] |= {
        "es_forget": [[1.0, 1.0], [1 - end / 2] * 2, [1 - end] * 2],
        "es_retain": [[1.0, 1.0], [1.0, 1.0], [1 - low, 1 - low]],
    }
    return found


def rows(*stages: Record) -> dict[tuple[str, str, float], Record]:
    found = made("levels", Results("x", {}, list(stages)))
    return {(row["scenario"], row["measure"], row["fs"]): row for row in found}


LOSS = {"oracle": (0.10, 0.12, 0.20), "random": (0.20, 0.24, 0.30)}


def test_a_cell_is_read_where_it_has_forgotten_so_much() -> None:
    found = rows(*(curved(name, s, low) for name in LOSS for s, low in enumerate(LOSS[name])))
    assert len(found) == 2 * 2 * 4
    # FS .8 is .6 of the way through the second step
    oracle = found["oracle", "rs", 0.8]
    assert oracle["mean"] == pytest.approx(1 - 0.6 * 0.14) and oracle["n"] == 3
    assert oracle["diff"] == pytest.approx(0.6 * (0.10 + 0.12 + 0.10) / 3)
    assert (oracle["interval_method"], oracle["short"]) == ("two-way t", [])
    assert oracle["diff_lo"] < oracle["diff"] < oracle["diff_hi"]
    assert found["oracle", "rs", 0.5]["mean"] == 1 and found["oracle", "rs", 0.5]["diff"] == 0
    utility = found["oracle", "mu", 0.95]
    assert utility["mean"] == pytest.approx(0.6 - 0.9 * 0.14)
    low, high = t_interval([0.09, 0.108, 0.09]) or (0, 0)
    assert (utility["diff_lo"], utility["diff_hi"]) == pytest.approx((low, high))
    assert utility["interval_method"] == "t"
    random = found["random", "rs", 0.9]
    assert random["mean"] == pytest.approx(1 - 0.8 * 0.74 / 3) and random["diff"] is None


def test_a_seed_that_stops_earlier_leaves_no_mean_and_is_named() -> None:
    ends = (1.0, 0.92, 1.0)
    found = rows(
        *(curved("oracle", seed, 0.1, end) for seed, end in enumerate(ends)),
        *(curved("random", seed, 0.2) for seed in range(3)),
    )
    assert found["oracle", "rs", 0.9]["n"] == 3 and found["oracle", "rs", 0.9]["diff"] is not None
    deep = found["oracle", "rs", 0.95]
    assert (deep["n"], deep["short"], deep["mean"], deep["diff"]) == (2, [1], None, None)
    assert found["random", "rs", 0.95]["mean"] is not None


def test_several_regions_count_as_their_mean_and_are_set_against_each_other() -> None:
    stages = [curved("oracle", seed, 0.1) for seed in range(2)]
    for seed in range(2):
        stages.append(curved("random", seed, 0.2))
        stages += [curved("random", seed, low, region=n) for n, low in ((2, 0.3), (3, 0.4))]
    found = rows(*stages)
    assert found["random", "rs", 0.9]["mean"] == pytest.approx(1 - 0.8 * 0.3)
    assert found["oracle", "rs", 0.9]["diff"] == pytest.approx(0.8 * 0.2)
    assert found["oracle", "rs", 0.9]["p_blocks"] == pytest.approx(2 / 16), "both signs"
    alike = found["random again", "rs", 0.9]
    assert alike["mean"] == pytest.approx(1 - 0.8 * 0.2)
    assert alike["diff"] == pytest.approx(0.8 * 0.15) and alike["n"] == 2


def test_a_failed_trial_leaves_its_cell_without_a_mean() -> None:
    found = rows(curved("oracle", 0, 0.1), failed_trial("oracle", 1), curved("random", 0, 0.2))
    row = found["oracle", "rs", 0.9]
    assert (row["n"], row["mean"], row["short"]) == (1, None, [])
