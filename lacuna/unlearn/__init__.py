"""Unlearning: objectives and edits, a file each, and what applies any of them to any region."""

from lacuna.registry import import_methods
from lacuna.unlearn.base import (
    OBJECTIVES,
    Method,
    Objective,
    ObjectiveConfig,
    Step,
    UnlearnData,
)
from lacuna.unlearn.edits.base import Edit
from lacuna.unlearn.reference import answer_nll, answer_token_nll
from lacuna.unlearn.run import unlearn
from lacuna.unlearn.wrappers import WRAPPERS, Wrapper, parse

__all__ = [
    "OBJECTIVES",
    "WRAPPERS",
    "Edit",
    "Method",
    "Objective",
    "ObjectiveConfig",
    "Step",
    "UnlearnData",
    "Wrapper",
    "answer_nll",
    "answer_token_nll",
    "parse",
    "unlearn",
]

import_methods("lacuna.unlearn.objectives")
import_methods("lacuna.unlearn.edits")
