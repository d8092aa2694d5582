"""Unlearning objectives: a file each, and the loop that applies any of them to any region."""

from lacuna.unlearn import dpo, ga, graddiff, match, npo, rmu, wga
from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step
from lacuna.unlearn.run import UnlearnConfig, UnlearnData, answer_nll, unlearn

__all__ = [
    "OBJECTIVES",
    "Objective",
    "ObjectiveConfig",
    "Step",
    "UnlearnConfig",
    "UnlearnData",
    "answer_nll",
    "dpo",
    "ga",
    "graddiff",
    "match",
    "npo",
    "rmu",
    "unlearn",
    "wga",
]
