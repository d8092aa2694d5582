"""Audit of any before and after: what changed in the weights, where, and whether it comes back."""

from lacuna.audit.auc import Tally, exact_auc, tally
from lacuna.audit.change import Changes, Difference, compare
from lacuna.audit.precision import Comparison, precision
from lacuna.audit.rounded import rounded
from lacuna.audit.scores import SCORES, Change, Score
from lacuna.audit.stream import Checkpoint, open_checkpoint, require_alike

__all__ = [
    "SCORES",
    "Change",
    "Changes",
    "Checkpoint",
    "Comparison",
    "Difference",
    "Score",
    "Tally",
    "compare",
    "exact_auc",
    "open_checkpoint",
    "precision",
    "require_alike",
    "rounded",
    "tally",
]
