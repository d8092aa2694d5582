"""Evaluation: one token pass, the metrics derived from it, the mixing curve, inspections."""

from lacuna.evaluate.curve import FullCurve, StrengthCurve, full_curve, strength_curve
from lacuna.evaluate.curves import Mu95, aues, mu95
from lacuna.evaluate.exam import EvaluateConfig, Exam, Measured, Strength, spread
from lacuna.evaluate.generate import generate
from lacuna.evaluate.inspection import Inspected, inspect
from lacuna.evaluate.quality import ForgetQuality, Utility, forget_quality, model_utility
from lacuna.evaluate.read import read
from lacuna.evaluate.recite import Asked, asked, leaked, memorised
from lacuna.evaluate.table import TokenTable

__all__ = [
    "Asked",
    "EvaluateConfig",
    "Exam",
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
