"""Forget quality, model utility, ROUGE and the curves, against logs of real models."""

import json
from fractions import Fraction
from itertools import combinations
from math import comb, log10

import numpy as np
import pytest
from scipy.stats import ks_2samp
from support import SHARED, tofu_logs
from support.needs import needs
from support.oracle import recorded

from lacuna.errors import UserError
from lacuna.evaluate.curve_summaries import aues, mu95
from lacuna.evaluate.metrics import truth_ratio
from lacuna.evaluate.quality import (
    Utility,
    forget_quality,
    ks_log10_p,
    model_utility,
    set_utility,
)
from lacuna.evaluate.rouge import rouge

LOGS = SHARED / "data" / "tofu_eval_logs"


def ratios(split: dict[str, np.ndarray]) -> np.ndarray:
    return truth_ratio(split["avg_paraphrased_loss"], split["average_perturb_loss"])


def utility_of(model: str) -> float:
    sets = {
        name: set_utility(
            split["avg_gt_loss"],
            wrong_nll=split["average_perturb_loss"],
            paraphrased_nll=split["avg_paraphrased_loss"],
            rouge=split["rougeL_recall"],
            choices=name != "retain",
        )
        for name, split in tofu_logs.recorded(model).items()
        if name != "forget"
    }
    return model_utility(sets)


def test_forget_quality_of_an_untouched_model_is_the_logged_one() -> None:
    full, retained = (ratios(tofu_logs.recorded(m)["forget"]) for m in ("full", "retain90"))
    quality = forget_quality(full, retained)
    assert quality.log10_p == pytest.approx(-20.736585, abs=1e-6)
    assert quality.statistic == pytest.approx(0.396667, abs=1e-6)


def test_model_utility_of_both_logged_models_is_tofus() -> None:
    assert utility_of("full") == pytest.approx(0.622677, abs=1e-6)
    assert utility_of("retain90") == pytest.approx(0.613745, abs=1e-6)


@needs("logs")
@pytest.mark.parametrize("model", tofu_logs.MODELS)
def test_the_record_is_the_log_and_rouge_recall_follows_from_its_texts(model: str) -> None:
    """Without the texts, ROUGE is held to the reference implementation's pairs below."""
    record = tofu_logs.recorded(model)
    np.testing.assert_equal(record, tofu_logs.extract(LOGS, model))
    for name, split in json.loads((LOGS / f"llama2-7b_{model}.json").read_text()).items():
        found = rouge(split["generated_text"], split["reference_text"])
        recall = record[name][tofu_logs.RECALL]
        np.testing.assert_allclose(found.rouge_l_recall, recall, atol=1e-12)


@pytest.mark.oracle
def test_the_aggregates_match_the_reference_implementation() -> None:
    reference = recorded("reference")["aggregates"]
    fixed = reference["ks_fixed_samples"]
    for other in "yzx":
        quality = forget_quality(fixed["x"], fixed[other])
        assert quality.log10_p == pytest.approx(log10(fixed[f"p_x_vs_{other}"]), abs=1e-9)
        assert quality.statistic == pytest.approx(fixed[f"D_x_vs_{other}"], abs=1e-12)
    for case in reference["hm_aggregate"]:
        sets = {str(i): Utility(probability=value) for i, value in enumerate(case["in"])}
        assert model_utility(sets) == pytest.approx(case["out"], abs=1e-12)
    pairs = reference["rouge_fixed_pairs"]
    found = rouge([pair["generation"] for pair in pairs], [pair["ground_truth"] for pair in pairs])
    for name, values in zip(("rouge1_recall", "rougeL_recall", "rougeL_f1"), found, strict=True):
        np.testing.assert_allclose(values, [pair[name] for pair in pairs], atol=1e-12)


@pytest.mark.parametrize(("n", "m"), [(5, 5), (4, 7), (6, 4)])
def test_the_exact_p_value_equals_counting_every_order(n: int, m: int) -> None:
    statistics = []
    for places in combinations(range(n + m), n):
        first = np.isin(np.arange(n + m), places)
        gap = np.abs(np.cumsum(first) * m - np.cumsum(~first) * n).max()
        statistics.append(Fraction(int(gap), n * m))
    for observed in set(statistics):
        share = sum(s >= observed for s in statistics) / len(statistics)
        assert ks_log10_p(float(observed), n, m) == pytest.approx(log10(share), abs=1e-12)


def test_the_exact_p_value_continues_scipys_where_both_exist() -> None:
    generator = np.random.default_rng(0)
    for shift, n, m in [(0.2, 300, 300), (2.0, 300, 200), (5.0, 250, 300)]:
        test = ks_2samp(generator.normal(size=n), generator.normal(shift, size=m))
        own = ks_log10_p(float(test.statistic), n, m)
        assert own == pytest.approx(log10(test.pvalue), rel=1e-9)


def test_forget_quality_of_disjoint_samples_does_not_underflow() -> None:
    low, high = np.linspace(0, 1, 600), np.linspace(2, 3, 600)
    value = forget_quality(low, high).log10_p
    # Two of the C(1200, 600) orders are as extreme: all of one sample first.
    assert value == pytest.approx(log10(2) - log10(comb(1200, 600)), rel=1e-12)
    assert value < -350


def test_forget_quality_of_a_model_with_itself_is_zero() -> None:
    assert forget_quality([0.1, 0.2, np.inf], [0.1, 0.2, np.inf]).log10_p == 0.0


def test_forget_quality_leaves_undefined_ratios_out_but_refuses_none_at_all() -> None:
    full = forget_quality([0.1, 0.5, 0.9], [0.2, 0.6])
    assert forget_quality([0.1, np.nan, 0.5, 0.9], [0.2, 0.6, np.nan]) == full
    with pytest.raises(UserError, match="retained model has no truth ratios"):
        forget_quality([0.1], [np.nan])


def test_model_utility_leaves_absent_components_out_and_is_zero_if_one_is_zero() -> None:
    sets = {"retain": Utility(probability=0.5, rouge=1.0), "neutral": Utility(probability=0.25)}
    assert model_utility(sets) == pytest.approx(3 / (2 + 1 + 4))
    assert model_utility({**sets, "facts": Utility(truth_ratio=0.0)}) == 0.0
    with pytest.raises(UserError, match="no component"):
        model_utility({"neutral": Utility()})


def test_a_set_without_wrong_answers_has_no_truth_ratio() -> None:
    assert set_utility([0.0, np.log(2)], rouge=[1.0, 0.0]) == Utility(probability=0.75, rouge=0.5)
    with pytest.raises(UserError, match="needs wrong answers"):
        set_utility([0.0], choices=True)


def test_the_truth_ratio_falls_back_on_the_answer_without_a_paraphrase() -> None:
    plain = set_utility([1.0], wrong_nll=[[2.0, 4.0]])
    assert plain.truth_ratio == pytest.approx(1 - np.exp(-2))
    assert plain.probability == pytest.approx(np.exp(-1))
    other = set_utility([1.0], wrong_nll=[[2.0, 4.0]], paraphrased_nll=[2.5])
    assert other.truth_ratio == pytest.approx(1 - np.exp(-0.5))


def test_aues_of_known_curves() -> None:
    assert aues([0, 0.5, 1], [1, 1, 1]) == pytest.approx(1.0)
    assert aues([0, 0.5, 1], [1, 0.5, 0]) == pytest.approx(0.5)
    assert aues([0, 0.4], [1.0, 0.5]) == pytest.approx(0.3)


def test_a_step_back_in_forget_strength_takes_area_away() -> None:
    there_and_back = aues([0.0, 0.6, 0.2], [1.0, 1.0, 1.0])
    assert there_and_back == pytest.approx(0.2)
    assert aues([0.5, 0.2], [1.0, 1.0]) == pytest.approx(-0.3)


def test_aues_of_stacked_curves_is_that_of_each() -> None:
    fs, rs = np.random.default_rng(0).random((2, 4, 21))
    np.testing.assert_allclose(aues(fs, rs), [aues(f, r) for f, r in zip(fs, rs, strict=True)])


def test_mu95_is_read_where_the_curve_first_crosses() -> None:
    # Threshold 0.57: a quarter of the way from 0.58 down to 0.54.
    assert mu95([0.6, 0.58, 0.54], [-20.0, -12.0, -8.0], 0.6) == (pytest.approx(-11.0), True)
    # Threshold .589, crossed three times: first .011 of .015 on the way from .60 to .585.
    mu = [0.62, 0.60, 0.585, 0.592, 0.60, 0.57, 0.55]
    fq = [-20.0, -18.0, -15.0, -14.0, -13.0, -9.0, -5.0]
    assert mu95(mu, fq, 0.62) == (pytest.approx(-18 + 3 * 11 / 15), True)
    # On the threshold exactly, and level there: the first of those points.
    assert mu95([1.0, 0.95, 0.95, 0.9], [-9.0, -7.0, -5.0, -1.0], 1.0) == (-7.0, True)


def test_mu95_that_never_crosses_reads_the_lowest_utility_and_says_so() -> None:
    assert mu95([0.6, 0.59, 0.595], [-20.0, -15.0, -17.0], 0.6) == (-15.0, False)
    assert mu95([0.3, 0.4], [-5.0, -6.0], 0.6) == (-6.0, False)


def test_mu95_knows_the_order_of_alpha() -> None:
    # A rise beyond the start and a fall behind it: sorted by MU, points of both would mix.
    mu, fq = [0.6, 0.61, 0.6, 0.56], [-20.0, -18.0, -16.0, -8.0]
    assert mu95(mu, fq, 0.6).value == pytest.approx(-10)
    assert mu95(mu[::-1], fq[::-1], 0.6).value == pytest.approx(-10)
    assert mu95([0.6, 0.56, 0.6], [-20.0, -8.0, -2.0], 0.6).value == pytest.approx(-11)
    assert mu95([0.6, 0.56, 0.6], [-2.0, -8.0, -20.0], 0.6).value == pytest.approx(-6.5)
