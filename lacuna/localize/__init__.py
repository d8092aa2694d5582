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
    "memflex",
    "norm",
    "snip",
    "truth",
    "wagle",
    "zero_out",
]
