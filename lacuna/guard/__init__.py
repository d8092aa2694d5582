"""Guards: what stands between a model and its user, and leaves every weight as it is."""

from lacuna.guard.base import GUARDS, Guard, guarded_answers, guarded_strength
from lacuna.guard.decode import Decode

__all__ = ["GUARDS", "Decode", "Guard", "guarded_answers", "guarded_strength"]
