r"""Gradient difference (Liu et al. 2022, arXiv:2203.12817; TOFU's GradDiff).

    L = mean_t log p(y_t | forget) + w mean_t -log p(y_t | retain)

Inside the true region this is LACUNA's OracleGrad. Limits: w = 0 is gradient ascent.
"""

from dataclasses import dataclass

from lacuna.unlearn.base import OBJECTIVES, ObjectiveConfig
from lacuna.unlearn.objectives.ga import GradientAscent


@OBJECTIVES.register("graddiff")
class GradientDifference(GradientAscent):
    """Gradient ascent with a retain term."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Takes the common options only."""
