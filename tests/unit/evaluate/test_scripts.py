"""Scores of answers in any script; those of English ones are the published scorer's."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from lacuna.evaluate.mixing_curve import full_curve
from lacuna.evaluate.quality import Utility, model_utility, set_utility
from lacuna.evaluate.rouge import rouge
from lacuna.evaluate.words import UnicodeWords

RIGHT_HALF_WRONG = {
    "chinese": ("北京大学", "北京天文", "巴黎"),
    "japanese": ("東京タワー", "東京ピアノ", "ぺる"),
    "russian": ("Он живёт в Москве", "Он живёт у моря", "нет"),
    "greek": ("Η Αθήνα είναι πόλη", "η αθήνα ήταν χωριό", "όχι"),
    "arabic": ("ولد في القاهرة", "ولد في دمشق", "لا"),
    "hindi": ("वह दिल्ली में रहती है", "वह दिल्ली में थी", "नहीं"),
    "thai": ("กรุงเทพ", "กรุงxyz", "ไม"),
    "korean": ("서울에 산다 그는 오늘", "서울에 산다 어제 우리는", "아니"),
    "hebrew and a number": ("רחוב 5 בחיפה", "רחוב 5 ברמלה", "לא"),
}


@pytest.mark.parametrize("script", RIGHT_HALF_WRONG)
def test_a_right_answer_scores_1_half_of_one_between_and_a_wrong_one_0(script: str) -> None:
    right, half, wrong = RIGHT_HALF_WRONG[script]
    for scores in rouge([right, half, wrong, ""], [right] * 4):
        assert scores[0] == 1 and 0.2 < scores[1] < 0.9 and scores[2] == scores[3] == 0


def test_case_and_unicode_form_make_no_other_word() -> None:
    assert rouge(["МОСКВА ЙОД"], ["Москва йод"]).rouge_l_f1 == 1
    assert rouge(["и\u0306од"], ["йод"]).rouge1_recall == 1
    assert UnicodeWords().tokenize("Ab-cd 東京x3, नी") == ["ab", "cd", "東", "京", "x3", "नी"]


ENGLISH = [
    ("He was born in 1970.", "Born 1970, he lives in Lisbon"),
    ("Café Zoë, San José", "cafe zoe in San José"),
    ("555-01-22", "555 01 23"),
    ("Jaime Vásquez writes", "Jaime Vasquez wrote"),
    ("", "something"),
]


@pytest.mark.parametrize(("truth", "said"), ENGLISH)
def test_english_numbers_are_those_of_the_published_scorer(truth: str, said: str) -> None:
    wanted = RougeScorer(["rouge1", "rougeL"], use_stemmer=True).score(truth, said)
    found = rouge([said], [truth])
    assert found.rouge1_recall[0] == wanted["rouge1"].recall
    assert found.rouge_l_recall[0] == wanted["rougeL"].recall
    assert found.rouge_l_f1[0] == wanted["rougeL"].fmeasure


def test_an_answer_of_marks_alone_has_no_score_and_does_not_take_utility_to_0() -> None:
    found = rouge(["♥♥", "Ada"], ["♥♥", "Ada"]).rouge_l_recall
    assert np.isnan(found[0]) and found[1] == 1
    only = set_utility([0.1], rouge=rouge(["?!"], ["♥"]).rouge_l_recall)
    assert only.rouge is None and model_utility({"retain": only}) == pytest.approx(np.exp(-0.1))
    assert set_utility([0.1, 0.1], rouge=found).rouge == 1


def test_ninety_five_percent_of_nothing_is_no_threshold() -> None:
    def curve(utility: float) -> Any:
        strength = SimpleNamespace(forget=np.ones(2), retain=np.ones(2))
        one = SimpleNamespace(
            strength=strength, utility=utility, forget={"truth_ratio": np.array([0.2, 0.7])}
        )
        evaluator = SimpleNamespace(
            config=SimpleNamespace(alphas=3),
            measure=lambda model: one,
            moving=lambda model, weights: nullcontext(),
        )
        weights = SimpleNamespace(write=lambda values: None)
        ratio = np.array([0.3, 0.6])
        return full_curve(evaluator, None, weights, {}, {}, ratio)  # type: ignore[arg-type]

    import lacuna.evaluate.mixing_curve as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "mix", lambda *words: None)
        assert curve(0.0).mu95 is None and curve(0.0).fq is not None
        assert curve(0.5).mu95 is not None
    assert model_utility({"retain": Utility(probability=0.5, rouge=None)}) == 0.5
