"""Unlearning: objectives and edits, a file each, and what applies any of them to any region."""

from lacuna.unlearn import dpo, ga, graddiff, match, npo, restore, rmu, ssd, task_vector, wga
from lacuna.unlearn.base import OBJECTIVES, Method, Objective, ObjectiveConfig, Step
from lacuna.unlearn.edit import Edit
from lacuna.unlearn.run import UnlearnConfig, UnlearnData, answer_nll, unlearn

__all__ = [
    "OBJECTIVES",
    "Edit",
    "Method",
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
    "restore",
    "rmu",
    "ssd",
    "task_vector",
    "unlearn",
    "wga",
]
