"""Injection: facts go where we say, and nowhere else."""

from lacuna.inject.lee import InjectConfig, equal_outside, inject, learn

__all__ = ["InjectConfig", "equal_outside", "inject", "learn"]
