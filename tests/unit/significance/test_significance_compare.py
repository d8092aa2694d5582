"""Comparing two scenarios: pairing by seed, undefined values, and what a record holds."""

import json
from typing import Any

import numpy as np
import pytest

from lacuna.errors import UserError
from lacuna.evaluate.curve_summaries import aues, mu95
from lacuna.significance import (
    Decision,
    arms_of,
    aues_difference,
    compare,
    enough,
    matched_difference,
    p_value,
    paired,
    published,
    two_way_of_arms,
)
from lacuna.significance.compare import first_and_others, on_seeds_of


def trial(seed: int, shift: float, scenario: str = "oracle") -> dict[str, Any]:
    """A test trial of 12 people with two questions each; `shift` raises RS and FQ at alpha = 1."""
    generator = np.random.default_rng(seed)
    people = [f"p{i // 2}" for i in range(24)]
    mixing = np.linspace(0, 1, 21)
    es_forget = 1 - np.outer(mixing, generator.uniform(0.7, 0.95, 24))
    es_retain = 1 - np.outer(mixing, generator.uniform(0.25, 0.35, 24) - shift)
    fs, rs = 1 - es_forget.mean(1), es_retain.mean(1)
    mu = 0.62 - 0.12 * mixing + generator.normal(0, 0.002, 21)
    fq = -20 + (10 + 10 * shift) * mixing + generator.normal(0, 0.5, 21)
    found = mu95(mu, fq, mu[0])
    return {
        "scenario": scenario,
        "seed": seed,
        "curve": {"fs": fs.tolist(), "rs": rs.tolist(), "mu": mu.tolist(), "fq": fq.tolist()},
        "es_forget": es_forget.tolist(),
        "es_retain": es_retain.tolist(),
        "people_forget": people,
        "people_retain": people,
        "aues": float(aues(fs, rs)),
        "mu95": {"value": found.value, "crossed": found.crossed},
    }


def both(seeds: range, shift: float = 0.2) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return [trial(s, shift) for s in seeds], [trial(s, 0.0, "random") for s in seeds]


def run(a: list[Any], b: list[Any], metric: str = "aues") -> dict[str, Any]:
    record = compare(a, b, metric, generator=np.random.default_rng(0), rounds=300)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    return record


def test_compare_reports_effect_interval_and_every_p_value() -> None:
    a, b = both(range(4))
    record = run(a, b)
    deltas = np.array([x["aues"] - y["aues"] for x, y in zip(a, b, strict=True)])
    assert record["diff"] == pytest.approx(deltas.mean())
    assert record["abs_diff_sd"] == pytest.approx(np.abs(deltas).std(ddof=1))
    assert record["interval"][0] < record["diff"] < record["interval"][1]
    assert record["interval"][0] > 0
    assert (record["n_seeds"], record["p_sign_flip"], record["p_min"]) == (4, 0.125, 0.125)
    exact = [
        published.aues_permutation(
            x["curve"]["fs"], x["curve"]["rs"], y["curve"]["fs"], y["curve"]["rs"]
        )
        for x, y in zip(a, b, strict=True)
    ]
    assert record["p_alpha_permutation"] == exact
    assert record["p_alpha_permutation_mean"] == pytest.approx(np.mean(exact))


def test_compare_pairs_by_seed_whatever_the_order() -> None:
    a, b = both(range(4))
    assert run(a[::-1], [b[2], b[0], b[3], b[1]]) == run(a, b)


def test_swapping_the_scenarios_negates_the_difference() -> None:
    a, b = both(range(3))
    one, two = run(a, b, "mu95"), run(b, a, "mu95")
    assert one["diff"] == pytest.approx(-two["diff"])
    assert one["interval"] == pytest.approx([-edge for edge in two["interval"][::-1]])
    assert one["p_sign_flip"] == two["p_sign_flip"]


def test_mu95_names_the_seeds_that_never_reached_the_threshold() -> None:
    a, b = both(range(3))
    a[1]["mu95"]["crossed"] = False
    record = run(a, b, "mu95")
    assert (record["uncrossed_a"], record["uncrossed_b"]) == ([1], [])
    assert len(record["p_pool_split"]) == 3
    assert 0 < record["p_pool_split_mean"] <= 1


def test_one_seed_has_a_difference_but_no_spread_and_no_interval() -> None:
    a, b = both(range(1))
    record = run(a, b)
    assert record["diff"] == pytest.approx(a[0]["aues"] - b[0]["aues"])
    nothing = ("sd_a", "sd_b", "abs_diff_sd", "diff_sd", "interval")
    assert {record[key] for key in nothing} == {None}
    assert (record["p_sign_flip"], record["p_min"]) == (1.0, 1.0)


def test_a_failed_trial_is_named_and_never_averaged_over() -> None:
    a, b = both(range(3))
    b[2] = {"failed": "loss is not finite at step 12", "label": "npo", "tags": {"seed": "2"}}
    for metric in ("aues", "mu95"):
        record = run(a, b, metric)
        assert record["missing"] == ["seed 2: loss is not finite at step 12"]
        assert record["n_seeds"] == 2
        undefined = ("mean_b", "sd_b", "diff", "abs_diff_mean", "interval", "p_sign_flip", "p_min")
        assert {record[key] for key in undefined} == {None}
        assert record["mean_a"] is not None


def test_data_without_forget_quality_has_no_mu95() -> None:
    a, b = both(range(2))
    for one in (*a, *b):
        one["mu95"] = None
        one["curve"]["fq"] = [None] * 21
    record = run(a, b, "mu95")
    assert record["n_seeds"] == 0
    assert record["missing"] == ["seed 0: mu95 is undefined", "seed 1: mu95 is undefined"]
    assert record["diff"] is None
    assert record["p_pool_split"] == [None, None]


def test_trials_that_cannot_be_paired_are_refused() -> None:
    a, b = both(range(3))
    with pytest.raises(UserError, match=r"seeds \[0, 1\] against \[0, 1, 2\]"):
        run(a[:2], b)
    with pytest.raises(UserError, match="seed 0 has two trials"):
        run([a[0], a[0]], b)
    with pytest.raises(UserError, match="unknown significance metric"):
        run(a, b, "auc")
    b[0]["people_forget"] = list(reversed(b[0]["people_forget"]))
    with pytest.raises(UserError, match="people_forget differ"):
        run(a, b)


def test_paired_values_give_the_papers_columns() -> None:
    record = paired([0.5, 0.7, 0.6], [0.4, 0.8, 0.3], [7, 19, 31])
    assert record["seeds"] == [7, 19, 31]
    assert record["mean_a"] == pytest.approx(0.6)
    assert record["sd_a"] == pytest.approx(0.1)
    assert record["diff"] == pytest.approx(0.1)
    assert record["abs_diff_mean"] == pytest.approx(0.5 / 3)
    # |sum| of +-.1 +-.1 +-.3 is at least .3 in 6 of 8 patterns.
    assert record["p_sign_flip"] == 6 / 8
    broken = paired([0.5, None], [0.4, float("nan")])
    assert broken["missing"] == ["seed 1: undefined"]
    assert broken["values_b"] == [0.4, None]
    assert broken["diff"] is None
    assert json.dumps(broken, allow_nan=False)


def test_equal_depth_is_taken_to_where_all_arms_of_a_seed_reach() -> None:
    """FS to 1 and to .5, RS of the deeper arm 1 up to FS .5 and then less: no difference there."""
    deep, shallow = trial(0, 0.0), trial(0, 0.0, "random")
    for one, fs, rs in (
        (deep, [0.0, 0.5, 1.0], [1.0, 1.0, 0.0]),
        (shallow, [0.0, 0.25, 0.5], [1.0, 1.0, 1.0]),
    ):
        one["curve"] |= {"fs": fs, "rs": rs}
        for name, values in (("es_forget", 1 - np.array(fs)), ("es_retain", np.array(rs))):
            one[name] = np.repeat(values[:, None], 24, axis=1).tolist()
    found = {metric: run([deep], [shallow], metric) for metric in ("matched", "depth")}
    assert [found[metric]["values_a"] for metric in found] == [[1.0], [1.0]]
    assert [found[metric]["diff"] for metric in found] == [0.0, 0.0]


def test_no_common_depth_is_a_missing_value_with_its_reason() -> None:
    a, b = both(range(2))
    b[1]["curve"]["fs"] = [0.0] * 21
    record = run(a, b, "matched")
    assert record["missing"] == ["seed 1: no common depth of forgetting"]
    assert (record["diff"], record["interval"], record["n_seeds"]) == (None, None, 1)


def test_matched_and_aues_are_decided_by_the_two_way_t() -> None:
    a, b = both(range(4))
    arms = [arms_of(pair) for pair in zip(a, b, strict=True)]
    for metric, score in (("matched", matched_difference), ("aues", aues_difference)):
        record, wanted = run(a, b, metric), two_way_of_arms(arms, score)
        assert wanted is not None
        assert record["interval"] == [wanted.low, wanted.high]
        assert record["interval_method"] == "two-way t"
        assert p_value(record) == pytest.approx(wanted.p())
    assert "interval_bootstrap" in run(a, b)


def test_blocks_count_every_region_of_a_seed() -> None:
    """Two seeds with three random regions each, the true one best in both: 1 labelling in 16."""
    a = [trial(seed, 0.2) for seed in range(2)]
    b = [trial(seed, 0.01 * k, "random") | {"region": k} for seed in range(2) for k in (1, 2, 3)]
    record = run(a, b, "matched")
    assert (record["p_blocks"], record["p_blocks_min"]) == (1 / 16, 1 / 16)


def test_the_first_region_of_each_seed_is_set_against_the_others() -> None:
    trials = [trial(seed, 0.0) | {"region": k} for seed in range(2) for k in (2, 1, 3)]
    first, others = first_and_others([*trials, trial(7, 0.0)])
    assert [(one["seed"], one["region"]) for one in first] == [(0, 1), (1, 1)]
    assert [(one["seed"], one["region"]) for one in others] == [(0, 2), (0, 3), (1, 2), (1, 3)]


def test_a_scenario_on_fewer_seeds_is_set_against_the_rivals_of_its_own() -> None:
    rivals = [trial(seed, 0.0) | {"region": k} for seed in range(3) for k in (2, 1)]
    found = on_seeds_of([trial(2, 0.0), trial(0, 0.0)], rivals)
    assert [(one["seed"], one["region"]) for one in found] == [(0, 1), (0, 2), (2, 1), (2, 2)]


def test_a_score_that_hangs_on_one_person_has_a_difference_and_no_interval() -> None:
    """Only person p0 is forgotten: without him no arm has a depth, and his part is unknown."""
    a, b = both(range(3))
    for one in (*a, *b):
        es = np.ones((21, 24))
        es[:, :2] = np.linspace(1, 0, 21)[:, None]
        one["es_forget"] = es.tolist()
        one["curve"]["fs"] = (1 - es.mean(1)).tolist()
    record = run(a, b, "matched")
    assert record["diff"] is not None and record["missing"] == []
    assert (record["interval"], record["standard_error"], p_value(record)) == (None, None, None)
    assert enough(3, None) == Decision(
        "undetermined", "no interval: undefined without one of the people"
    )
