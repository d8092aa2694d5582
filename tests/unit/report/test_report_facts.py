"""Table `facts`: groups of facts at the depth that all arms of a seed reach, by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.reports import Record, failed_trial, trial

from lacuna.report import Results, render
from lacuna.report.table import make
from lacuna.results import Asked
from lacuna.significance import holm, t_interval

PEOPLE = ["ann", "ann", "bob", "bob"]
FORGET = {"field": ["town", "pet", "town", "pet"], "words": [1, 4, 1, 5]}
RETAIN = {"field": ["town", "town"], "words": [2, None]}


def arm(scenario: str, seed: int, half: list[float], end: list[float], **more: Any) -> Record:
    """Four facts to forget, all held before; FS follows from their strengths."""
    forget = [[1.0] * 4, half, end]
    found = trial(scenario, seed, people_forget=PEOPLE, es_forget=forget, **more)
    found["summary"]["curve"]["fs"] = [1 - sum(es) / 4 for es in forget]
    return found


def asked(*seeds: int) -> list[Asked]:
    return [{"seed": seed, "forget": FORGET, "retain": RETAIN} for seed in seeds]  # type: ignore[typeddict-item]


def rows(stages: list[Record], known: list[Asked]) -> dict[tuple[str, str, str], Record]:
    found = make("facts", Results("x", {}, stages, asked=known)).rows
    return {(str(row["scenario"]), str(row["by"]), str(row["group"])): dict(row) for row in found}


def study(pull: float = 0.0) -> list[Record]:
    """FS .5 is what both arms reach, the random ones in their last point.

    There the true region has kept pets and lost towns; random regions half of each.
    """
    stages = []
    for seed in (1, 2, 3):
        kept, lost = 1.0 - 0.1 * seed, 0.1 * seed + pull
        stages.append(arm("oracle", seed, [lost, kept, lost, kept], [0.0] * 4))
        stages.append(arm("random", seed, [0.8] * 4, [0.5] * 4))
    return stages


def test_a_group_is_read_where_all_arms_have_forgotten_as_much() -> None:
    found = rows(study(), asked(1, 2, 3))
    assert {key[1:] for key in found} == {
        ("field", "pet"),
        ("field", "town"),
        ("length", "more than 2 words"),
        ("length", "up to 2 words"),
    }, "retained facts are of one field, and one of them has no length; all are held whole"
    pet, town = found["oracle", "field", "pet"], found["oracle", "field", "town"]
    differences = [1.0 - 0.1 * seed - 0.5 for seed in (1, 2, 3)]
    assert pet["diff"] == pytest.approx(0.3) and town["diff"] == pytest.approx(-0.3)
    assert (pet["n"], pet["facts"], pet["split"]) == (3, 2.0, "forget")
    assert (pet["better"], pet["worse"]) == (0.0, 1.0), "still said: worse"
    assert (town["better"], town["worse"]) == (1.0, 0.0)
    low, high = t_interval(differences) or (0, 0)
    # its people are alike, so they add no variance to that of the seeds
    assert (pet["diff_lo"], pet["diff_hi"]) == pytest.approx((low, high))


def test_a_depth_between_two_points_is_read_between_them() -> None:
    """FS of the true arm is 0, .4, 1; the random one ends at .7, half-way from .4 to 1."""
    stages = []
    for seed in (1, 2):
        stages.append(arm("oracle", seed, [0.2, 1.0, 0.2, 1.0], [0.0] * 4))
        stages.append(arm("random", seed, [0.6] * 4, [0.3] * 4))
    found = rows(stages, asked(1, 2))
    assert found["oracle", "field", "pet"]["diff"] == pytest.approx(0.5 - 0.3)
    assert found["oracle", "field", "town"]["diff"] == pytest.approx(0.1 - 0.3)


def test_people_who_differ_widen_the_interval() -> None:
    """Ann's pets are kept and Bob's are not, in every seed alike: seeds alone see no spread."""
    stages = []
    for seed in (1, 2, 3):
        stages.append(arm("oracle", seed, [0.5, 1.0, 0.5, 0.0], [0.0] * 4))
        stages.append(arm("random", seed, [0.8] * 4, [0.5] * 4))
    pet = rows(stages, asked(1, 2, 3))["oracle", "field", "pet"]
    assert pet["diff"] == 0 and pet["interval_method"] == "two-way t"
    assert pet["diff_hi"] > 0.5
    assert (pet["better"], pet["worse"]) == (0.5, 0.5)


def test_several_regions_count_as_their_mean_and_are_set_against_each_other() -> None:
    stages = study() + [
        arm("random", seed, [0.9] * 4, [0.7, 0.3, 0.7, 0.3], region=2) for seed in (1, 2, 3)
    ]
    found = rows(stages, asked(1, 2, 3))
    assert found["oracle", "field", "pet"]["diff"] == pytest.approx(0.8 - (0.5 + 0.3) / 2)
    assert found["random again", "field", "pet"]["diff"] == pytest.approx(0.2)


def test_all_groups_of_an_objective_are_corrected_together() -> None:
    found = rows(study(pull=0.01), asked(1, 2, 3))
    p_values = [row["p"] for row in found.values()]
    assert [row["p_holm"] for row in found.values()] == pytest.approx(holm(p_values))
    assert max(np.divide([row["p_holm"] for row in found.values()], p_values)) == pytest.approx(4)


def test_retained_facts_are_better_where_more_is_kept() -> None:
    stages = study()
    for stage in stages:
        kept = 0.9 if stage["summary"]["scenario"] == "oracle" else 0.7
        stage["summary"]["es_retain"] = [[1.0, 0.5], [kept, 0.5], [kept, 0.5]]
    found = rows(stages, [])
    whole, part = (found["oracle", "held", name] for name in ("whole", "in part"))
    assert whole["split"] == "retain" and whole["diff"] == pytest.approx(0.2)
    assert (whole["better"], part["better"], part["worse"]) == (1.0, 0.0, 0.0)


def test_a_failed_seed_leaves_no_mean_and_unknown_questions_no_rows() -> None:
    stages = [*study(), failed_trial("oracle", 4), arm("random", 4, [0.8] * 4, [0.5] * 4)]
    row = rows(stages, asked(1, 2, 3, 4))["oracle", "field", "pet"]
    assert (row["n"], row["diff"], row["better"], row["p"]) == (3, None, None, None)
    assert rows(study(), []) == {}
    other = asked(1, 2, 3)
    for one in other:
        one["forget"] = {"field": ["town"], "words": [1]}  # of other questions
    assert rows(study(), other) == {}


def test_arms_without_a_common_depth_have_no_difference() -> None:
    stages = [
        arm(name, seed, [es] * 4, [es] * 4)
        for seed in (1, 2)
        for name, es in (("oracle", 0.5), ("random", 1.0))
    ]
    assert rows(stages, asked(1, 2))["oracle", "field", "pet"]["diff"] is None


def test_the_page_of_a_study_shows_the_table_only_where_it_has_rows(tmp_path: Path) -> None:
    render(Results("x", {"seed": 1}, study(), asked=asked(1, 2, 3)), tmp_path / "a")
    render(Results("x", {"seed": 1}, study()), tmp_path / "b")
    assert (tmp_path / "a/tables/facts.csv").exists()
    assert not (tmp_path / "b/tables/facts.csv").exists()
