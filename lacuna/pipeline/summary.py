"""What stages write: summaries as plain values, per-item scores as files."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.artifacts import write_json
from lacuna.evaluate import Evaluator, FullCurve, Measured, StrengthCurve
from lacuna.model import LoadedModel

Summary = dict[str, Any]


def ends(evaluator: Evaluator, loaded: LoadedModel, measured: Measured) -> Summary:
    """Strengths and utility of one model, as every summary names them."""
    return {
        "forget_es": 1 - measured.strength.fs,
        "retain_es": measured.strength.rs,
        "paraphrase_es": mean(evaluator.paraphrased(loaded.model)),
        "mu": measured.utility,
    }


def strength_summary(curve: StrengthCurve) -> Summary:
    """The FS-RS curve of a trial."""
    return {
        "alphas": curve.alphas,
        "curve": {"fs": curve.fs.tolist(), "rs": curve.rs.tolist()},
        "aues": curve.aues,
        "fs_end": float(curve.fs[-1]),
        "rs_end": float(curve.rs[-1]),
    }


def full_summary(curve: FullCurve, evaluator: Evaluator) -> Summary:
    """The whole mixing curve, per-item strengths, utility sets."""
    summary = strength_summary(curve.strength)
    summary["curve"] |= {
        "mu": curve.mu,
        "fq": curve.fq,
        "forget_em": [mean(point.forget["em"]) for point in curve.points],
        "forget_prob": [mean(point.forget["probability"]) for point in curve.points],
    }
    return summary | {
        "es_forget": curve.strength.forget_AI.tolist(),
        "es_retain": curve.strength.retain_AI.tolist(),
        "people_forget": [item.person for item in evaluator.forget],
        "people_retain": [item.person for item in evaluator.retain],
        "mu95": None if curve.mu95 is None else curve.mu95._asdict(),
        "utility_sets": {name: asdict(u) for name, u in curve.points[-1].sets.items()},
    }


def save_items(out: Path, evaluator: Evaluator, measured: Measured) -> None:
    """Per-item scores of the forget and retain questions."""
    scores = {"forget": measured.forget, "retain": measured.retain}
    write_items(out / "items.json", evaluator, scores)


def write_items(file: Path, evaluator: Evaluator, scores: Mapping[str, Mapping[str, Any]]) -> None:
    """Per-item scores, keyed by person and field."""
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
            **{metric: _plain(values) for metric, values in found.items()},
        }
        for name, found in scores.items()
    }
    write_json(file, table)


def _plain(values: Any) -> list[float | None]:
    return [None if not np.isfinite(value) else float(value) for value in values]


def mean(values: Any) -> float | None:
    """Mean of the numbers among the values; None if there are none."""
    return float(np.nanmean(values)) if len(values) and not np.isnan(values).all() else None
