"""Per-item metrics against hand-made cases and a reference implementation's numbers."""

from typing import Any

import numpy as np
import pytest
from support.oracle import recorded

from lacuna.errors import UserError
from lacuna.evaluate import metrics
from lacuna.evaluate.token_table import TokenTable


def table(items: list[list[int]], ends: list[bool] | None = None, **columns: Any) -> TokenTable:
    """A table from correctness flags per item; `ends` says which items close with end of text."""
    counts = [len(item) for item in items]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    flags = np.array([flag for item in items for flag in item], dtype=bool)
    end = np.zeros(len(flags), dtype=bool)
    for i, closes in enumerate(ends or [False] * len(items)):
        if closes:
            end[offsets[i + 1] - 1] = True
    values = {"nll": np.where(flags, 0.1, 2.0), "mean": flags * 0.0, "variance": flags * 1.0}
    arrays = {name: np.asarray(values[name], float) for name in values}
    arrays |= {name: np.asarray(values, float) for name, values in columns.items()}
    return TokenTable(offsets=offsets, greedy=flags, end=end, **arrays)


def slow_strength(flags: list[int]) -> float:
    """ES by its definition: the shortest prefix after which everything is right."""
    m = len(flags)
    return next(1 - k / m for k in range(m + 1) if all(flags[k:]))


@pytest.mark.oracle
def test_extraction_strength_matches_every_handcrafted_case() -> None:
    cases = recorded("reference")["aggregates"]["es_handcrafted"]
    closed = table([case["correct_flags_incl_eos"] for case in cases], [True] * len(cases))
    counted = table([case["correct_flags_incl_eos"] for case in cases])
    for name, measured in {
        "own_strict_ES_excl_eos": metrics.extraction_strength(closed),
        "own_strict_ES_incl_eos": metrics.extraction_strength(counted),
        "peer_ES": metrics.extraction_strength_peer(closed),
        "peer_EM": metrics.exact_memorization(closed),
    }.items():
        np.testing.assert_allclose(measured, [case[name] for case in cases], atol=1e-6)


def test_extraction_strength_equals_its_definition_on_random_flags() -> None:
    generator = np.random.default_rng(0)
    items = [generator.integers(0, 2, n).tolist() for n in generator.integers(1, 9, 200)]
    assert {len(item) for item in items} == set(range(1, 9))
    expected = [slow_strength(item) for item in items]
    np.testing.assert_allclose(metrics.extraction_strength(table(items)), expected)


def test_all_right_is_one_and_a_wrong_last_token_is_zero_whatever_came_before() -> None:
    items = [[1, 1, 1, 1], [0, 0, 0, 1], [1, 1, 0, 1], [1, 0], [0, 1]]
    closed = table(items, [True] * len(items))  # the last flag is the end-of-text token's
    assert metrics.extraction_strength(closed).tolist() == [1, 0, 0, 1, 0]
    np.testing.assert_allclose(metrics.exact_memorization(closed), [1, 0, 2 / 3, 1, 0])
    np.testing.assert_allclose(metrics.extraction_strength_peer(closed), [1, 1 / 3, 1 / 3, 1, 1])
    still_open = table(items)
    assert metrics.extraction_strength(still_open).tolist() == [1, 0.25, 0.25, 0, 0.5]


def test_items_without_tokens_are_undefined_and_leave_their_neighbours_alone() -> None:
    gaps = table([[], [0, 1, 1, 1], [], [], [1, 0, 1], [1], []], [False] * 5 + [True, False])
    nan = np.nan
    np.testing.assert_allclose(
        metrics.extraction_strength(gaps), [nan, 0.75, nan, nan, 1 / 3, nan, nan]
    )
    np.testing.assert_allclose(
        metrics.exact_memorization(gaps), [nan, 0.75, nan, nan, 2 / 3, nan, nan]
    )
    # The sixth item is an end-of-text token alone: no body, but a probability.
    np.testing.assert_allclose(
        metrics.mean_logp(gaps), [nan, -2.3 / 4, nan, nan, -2.2 / 3, -0.1, nan]
    )
    np.testing.assert_allclose(metrics.min_k(gaps, 0.2), [nan, 2.0, nan, nan, 2.0, nan, nan])


def test_a_table_of_only_empty_items_gives_only_nan() -> None:
    empty = table([[], []])
    for metric in (metrics.extraction_strength, metrics.probability, metrics.exact_memorization):
        assert np.isnan(metric(empty)).all()
    assert metrics.extraction_strength_peer(empty).tolist() == [0.0, 0.0]


def test_the_peers_strength_drops_a_real_last_token_where_there_is_no_end_token() -> None:
    open_ended = table([[1, 1, 1, 0], [0, 0]])
    assert metrics.extraction_strength(open_ended).tolist() == [0.0, 0.0]
    assert metrics.extraction_strength_peer(open_ended).tolist() == [1.0, 1.0]


def test_probability_is_the_geometric_mean_over_all_tokens_with_the_end() -> None:
    prob = np.array([0.5, 0.25, 0.9, 0.1])
    given = table([[1, 0, 1], [1]], [True, False], nll=-np.log(prob))
    expected = [(0.5 * 0.25 * 0.9) ** (1 / 3), 0.1]
    np.testing.assert_allclose(metrics.probability(given), expected, rtol=1e-12)


def test_remnant_memorization_is_the_arithmetic_mean_over_the_body() -> None:
    prob = np.array([0.5, 0.25, 0.9, 0.1])
    given = table([[1, 0, 1], [1]], [True, False], nll=-np.log(prob))
    np.testing.assert_allclose(metrics.remnant(given), [0.375, 0.1], rtol=1e-12)


def test_min_k_reads_the_lowest_log_probabilities_of_the_body() -> None:
    given = table([[1, 1, 1, 1, 1, 1], [1, 1]], [True, False], nll=[1, 5, 2, 4, 3, 9, 7, 6])
    np.testing.assert_allclose(metrics.min_k(given, 0.4), [4.5, 7.0])  # int(.4*5)=2; at least 1
    np.testing.assert_allclose(metrics.min_k(given, 1.0), [3.0, 6.5])


def test_min_k_plus_plus_standardises_and_floors_the_variance() -> None:
    given = table([[1, 1, 1]], nll=[1.0, 2.0, 3.0], mean=[-1.5, -1, -3], variance=[4, 0.25, 0])
    # z = 0.25, -2, 0: the lowest third is -2, all of them average -1.75/3.
    np.testing.assert_allclose(metrics.min_k_plus_plus(given, 0.4), [2.0])
    np.testing.assert_allclose(metrics.min_k_plus_plus(given, 1.0), [1.75 / 3])


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5])
def test_min_k_refuses_a_share_outside_its_range(fraction: float) -> None:
    with pytest.raises(UserError, match="outside"):
        metrics.min_k(table([[1]]), fraction)


def answers_of(which: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    numbers = recorded("reference")["metrics"][which]
    right = numbers["paraphrased_probability"]["value_by_index"]
    wrong = numbers["perturbed_probability"]["value_by_index"]
    return (
        np.array([right[i]["avg_loss"] for i in sorted(right)]),
        np.array([wrong[i]["avg_loss"] for i in sorted(wrong)]),
        numbers,
    )


@pytest.mark.oracle
@pytest.mark.parametrize("which", ["ref", "policy"])
def test_truth_ratio_and_choices_match_the_reference(which: str) -> None:
    right, wrong, numbers = answers_of(which)
    ratio = metrics.truth_ratio(right, wrong)
    for reading in ("closer_to_1_better", "true_better", "prob_mean"):
        reference = numbers["truth_ratio"][reading]
        scores = [
            reference["value_by_index"][i]["score"] for i in sorted(reference["value_by_index"])
        ]
        own = 1 / (1 + ratio) if reading == "prob_mean" else ratio
        np.testing.assert_allclose(own, scores, rtol=1e-5)
        measured = metrics.truth_score(ratio, reading).mean()
        assert measured == pytest.approx(reference["agg_value"], abs=1e-5)
    chosen = numbers["probability_w_options"]
    expected = [chosen["value_by_index"][i]["prob"] for i in sorted(chosen["value_by_index"])]
    np.testing.assert_allclose(metrics.choice_probability(right, wrong), expected, atol=1e-5)


def test_the_two_averages_of_the_truth_ratio_differ_as_they_should() -> None:
    right, wrong = -np.log([0.5]), -np.log([[0.2, 0.05]])
    assert metrics.truth_ratio(right, wrong) == pytest.approx([0.1 / 0.5])
    assert metrics.truth_ratio(right, wrong, "arithmetic") == pytest.approx([0.125 / 0.5])
    with pytest.raises(UserError, match="did you mean 'geometric'"):
        metrics.truth_ratio(right, wrong, "geometrical")
    with pytest.raises(UserError, match="unknown truth-ratio reading"):
        metrics.truth_score(right, "worse")


@pytest.mark.parametrize("average", ["geometric", "arithmetic"])
def test_missing_wrong_answers_are_left_out_and_none_at_all_is_undefined(average: str) -> None:
    right = -np.log([0.5, 0.5])
    wrong = np.array([[-np.log(0.25), np.nan], [np.nan, np.nan]])
    np.testing.assert_allclose(metrics.truth_ratio(right, wrong, average), [0.5, np.nan])
    np.testing.assert_allclose(metrics.choice_probability(right, wrong), [0.5 / 0.75, np.nan])


def test_a_destroyed_model_gives_an_infinite_ratio_and_finite_scores() -> None:
    ratio = metrics.truth_ratio(np.array([2000.0, 0.0]), np.array([[1.0], [2000.0]]))
    assert ratio.tolist() == [np.inf, 0.0]
    assert metrics.truth_score(ratio, "closer_to_1_better").tolist() == [0.0, 0.0]
    assert metrics.truth_score(ratio).tolist() == [0.0, 1.0]
    both = metrics.choice_probability(np.array([2000.0]), np.array([[2000.0]]))
    assert both == pytest.approx([0.5])


def test_every_registered_metric_is_measured_and_one_of_another_shape_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics.METRICS, "_items", dict(metrics.METRICS))
    metrics.METRICS.register("length")(lambda table: np.diff(table.offsets).astype(float))
    found = metrics.item_scores(table([[1, 0, 1], [0]]))
    assert list(found) == ["es", "es_peer", "em", "logp", "probability", "rma", "length"]
    assert found["length"].tolist() == [3, 1] and found["em"].tolist() == [2 / 3, 0]
    metrics.METRICS.register("tokens")(lambda table: table.nll)
    with pytest.raises(UserError, match=r"metric 'tokens' gave .* shape \(4,\) for 2 items"):
        metrics.item_scores(table([[1, 0, 1], [0]]))
