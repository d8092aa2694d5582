"""Localizers: a file each, and the evidence they share."""

from lacuna.localize.base import LOCALIZERS, Found, Localizer, LocalizerConfig, Scores, localize
from lacuna.localize.evidence import Evidence
from lacuna.localize.single_weights import localize_weights
from lacuna.registry import import_methods

__all__ = [
    "LOCALIZERS",
    "Evidence",
    "Found",
    "Localizer",
    "LocalizerConfig",
    "Scores",
    "localize",
    "localize_weights",
]

import_methods("lacuna.localize.localizers")
