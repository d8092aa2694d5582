"""What stages write: summaries as plain values, per-item scores as files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lacuna.artifacts import read_json, write_json
from lacuna.data import Corpus
from lacuna.evaluate import EvaluateConfig, Evaluator, FullCurve, Measured, StrengthCurve
from lacuna.model import LoadedModel, save_model
from lacuna.results import (
    CurveEnds,
    CurveSummary,
    MetricMeans,
    ModelEnds,
    StrengthSummary,
    UtilityRecord,
)
from lacuna.results.files import ITEMS

Floats = NDArray[np.float64]


def ends(evaluator: Evaluator, loaded: LoadedModel, measured: Measured) -> ModelEnds:
    """Strengths and utility of one model, as every summary names them."""
    return {
        "forget_es": 1 - measured.strength.fs,
        "retain_es": measured.strength.rs,
        "paraphrase_es": mean(evaluator.paraphrased(loaded.model)),
        "mu": measured.utility,
        "metrics": metric_means(measured),
    }


def save_measured(
    out: Path, loaded: LoadedModel, corpus: Corpus, evaluate: EvaluateConfig
) -> ModelEnds:
    """Measure a trained model; save it and its per-item scores."""
    evaluator = Evaluator(loaded, corpus, evaluate)
    measured = evaluator.measure(loaded.model)
    save_model(loaded, out)
    save_items(out, evaluator, measured)
    return ends(evaluator, loaded, measured)


def metric_means(measured: Measured) -> MetricMeans:
    """Split -> metric -> mean over the questions that have a value."""
    splits = {"forget": measured.forget, "retain": measured.retain}
    return {
        split: {name: mean(values) for name, values in found.items()}
        for split, found in splits.items()
    }


def strength_summary(curve: StrengthCurve) -> StrengthSummary:
    """The FS-RS curve of a search trial."""
    return {**_curve_ends(curve), "curve": {"fs": curve.fs.tolist(), "rs": curve.rs.tolist()}}


def full_summary(curve: FullCurve, evaluator: Evaluator) -> CurveSummary:
    """The whole mixing curve of a test trial, per-item strengths, utility sets."""
    strength, mu95 = curve.strength, curve.mu95
    return {
        **_curve_ends(strength),
        "curve": {
            "fs": strength.fs.tolist(),
            "rs": strength.rs.tolist(),
            "mu": curve.mu,
            "fq": curve.fq,
            "forget_em": [mean(point.forget["em"]) for point in curve.points],
            "forget_prob": [mean(point.forget["probability"]) for point in curve.points],
        },
        "es_forget": strength.forget_AI.tolist(),
        "es_retain": strength.retain_AI.tolist(),
        "people_forget": [item.person for item in evaluator.forget],
        "people_retain": [item.person for item in evaluator.retain],
        "mu95": None if mu95 is None else {"value": mu95.value, "crossed": mu95.crossed},
        "metrics": metric_means(curve.points[-1]),
        "utility_sets": {
            name: UtilityRecord(
                probability=utility.probability,
                rouge=utility.rouge,
                truth_ratio=utility.truth_ratio,
            )
            for name, utility in curve.points[-1].sets.items()
        },
    }


def _curve_ends(curve: StrengthCurve) -> CurveEnds:
    return {
        "alphas": curve.alphas,
        "aues": curve.aues,
        "fs_end": float(curve.fs[-1]),
        "rs_end": float(curve.rs[-1]),
    }


def save_items(out: Path, evaluator: Evaluator, measured: Measured) -> None:
    """Write the scores of the forget and retain questions."""
    scores = {"forget": measured.forget, "retain": measured.retain}
    write_items(out / ITEMS, evaluator, scores)


def write_items(
    file: Path, evaluator: Evaluator, scores: Mapping[str, Mapping[str, Floats]]
) -> None:
    """Write per-item scores (split -> score -> (I,)) beside each item's id, person and field."""
    questions = {
        "forget": evaluator.forget,
        "retain": evaluator.retain,
        "holdout": evaluator.corpus.holdout,
    }
    table = {
        name: {
            "id": [item.id for item in questions[name]],
            "person": [item.person for item in questions[name]],
            "field": [item.field for item in questions[name]],
            **{metric: _plain(values) for metric, values in by_metric.items()},
        }
        for name, by_metric in scores.items()
    }
    write_json(file, table)


def truth_ratios(folder: Path) -> Floats | None:
    """(I,) of the forget questions, from a stage's folder; None for data without wrong answers."""
    ratios = read_json(folder / ITEMS)["forget"].get("truth_ratio")
    return None if ratios is None else np.array(ratios)


def _plain(values: Floats) -> list[float | None]:
    return [None if not np.isfinite(value) else float(value) for value in values]


def mean(values: Floats) -> float | None:
    """Mean of the numbers among the values; None if there are none."""
    return float(np.nanmean(values)) if len(values) and not np.isnan(values).all() else None
