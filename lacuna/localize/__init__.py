"""Localizers: a file each, and the evidence they share."""

from lacuna.localize import (
    activations,
    fisher_ratio,
    gradient,
    integrated_gradients,
    memflex,
    norm,
    snip,
    truth,
    wagle,
    zero_out,
)
from lacuna.localize.base import LOCALIZERS, Found, Localizer, LocalizerConfig, Scores, localize
from lacuna.localize.evidence import Evidence
from lacuna.localize.single import localize_weights

__all__ = [
    "LOCALIZERS",
    "Evidence",
    "Found",
    "Localizer",
    "LocalizerConfig",
    "Scores",
    "activations",
    "fisher_ratio",
    "gradient",
    "integrated_gradients",
    "localize",
    "localize_weights",
    "memflex",
    "norm",
    "snip",
    "truth",
    "wagle",
    "zero_out",
]
