"""How often intervals and tests are right, in simulated studies of which the truth is known.

    python -m lacuna.significance.calibrate [--studies N] [--shapes mini,skew,lee,people]
        [--seeds 4,6,8] [--regions 1,3] [--seed S] [--out FILE] [--fit STUDY_FOLDER]

A row for each shape, number of seeds and of random regions, estimand and method: coverage of 95%
intervals; size at .05; power at the margin and at twice the margin; how often "no better" is said
where there is no difference (holds) and where it is false, the difference being the margin (false
holds); each with its Monte-Carlo standard error. Deterministic for a seed, whatever the number of
processes.
"""

from lacuna.significance.calibrate.fitted import fitted
from lacuna.significance.calibrate.methods import Plan
from lacuna.significance.calibrate.rates import Row
from lacuna.significance.calibrate.run import calibrate
from lacuna.significance.calibrate.shapes import SHAPES, Facts, Shape, simulate

__all__ = ["SHAPES", "Facts", "Plan", "Row", "Shape", "calibrate", "fitted", "simulate"]
