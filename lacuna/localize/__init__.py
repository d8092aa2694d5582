"""Localizers: a file each, and the evidence they share."""

from lacuna.localize import activations, memflex, norm, truth, wagle
from lacuna.localize.base import LOCALIZERS, Localizer, LocalizerConfig, Scores, localize
from lacuna.localize.evidence import Evidence

__all__ = [
    "LOCALIZERS",
    "Evidence",
    "Localizer",
    "LocalizerConfig",
    "Scores",
    "activations",
    "localize",
    "memflex",
    "norm",
    "truth",
    "wagle",
]
