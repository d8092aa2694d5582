"""Evaluation: one token pass, the metrics derived from it, the mixing curve, inspections."""

from lacuna.evaluate.curve_summaries import Mu95, aues, mu95
from lacuna.evaluate.evaluator import EvaluateConfig, Evaluator, Measured, Strength, spread
from lacuna.evaluate.generate import generate
from lacuna.evaluate.inspections.base import Inspected, inspect
from lacuna.evaluate.memorisation import Asked, asked, leaked, memorised
from lacuna.evaluate.metrics import METRICS
from lacuna.evaluate.mixing_curve import FullCurve, StrengthCurve, full_curve, strength_curve
from lacuna.evaluate.quality import ForgetQuality, Utility, forget_quality, model_utility
from lacuna.evaluate.token_pass import read
from lacuna.evaluate.token_table import TokenTable

__all__ = [
    "METRICS",
    "Asked",
    "EvaluateConfig",
    "Evaluator",
    "ForgetQuality",
    "FullCurve",
    "Inspected",
    "Measured",
    "Mu95",
    "Strength",
    "StrengthCurve",
    "TokenTable",
    "Utility",
    "asked",
    "aues",
    "forget_quality",
    "full_curve",
    "generate",
    "inspect",
    "leaked",
    "memorised",
    "model_utility",
    "mu95",
    "read",
    "spread",
    "strength_curve",
]
