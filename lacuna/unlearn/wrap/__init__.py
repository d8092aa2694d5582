"""Wrappers that compose with any objective, a file each."""

from lacuna.unlearn.wrap import averaging, coreset, reweight, sam, smoothing
from lacuna.unlearn.wrap.base import WRAPPERS, Wrapper, parse
from lacuna.unlearn.wrap.reweight import DrawnBatches
from lacuna.unlearn.wrap.strategy import Wrapped

__all__ = [
    "WRAPPERS",
    "DrawnBatches",
    "Wrapped",
    "Wrapper",
    "averaging",
    "coreset",
    "parse",
    "reweight",
    "sam",
    "smoothing",
]
