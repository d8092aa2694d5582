"""Wrappers that compose with any objective, a file each."""

from lacuna.registry import import_methods
from lacuna.unlearn.wrappers.base import WRAPPERS, Wrapper, parse
from lacuna.unlearn.wrappers.reweight import DrawnBatches
from lacuna.unlearn.wrappers.strategy import Wrapped

__all__ = ["WRAPPERS", "DrawnBatches", "Wrapped", "Wrapper", "parse"]

import_methods("lacuna.unlearn.wrappers")
