"""Significance: what two scenarios differ by over seeds, how sure that is, and what it decides.

`compare` and `paired` give flat records of a study's trials; `matched`, `two_way` and `decide` are
the deciding estimand, interval and rule; `blocks` is the exact test beside them; `published` and
`seeds` hold the papers' tests and those for display; `calibrate` measures all of them.
"""

from lacuna.significance.arms import Arms, Strength, aues_difference, slope_weights
from lacuna.significance.blocks import Blocks, block_randomisation
from lacuna.significance.compare import METRICS, arms_of, compare
from lacuna.significance.decide import (
    Assay,
    Decision,
    enough,
    erases_more,
    floored,
    insensitive,
    no_better,
    rises,
)
from lacuna.significance.matched import (
    LEVELS,
    Curve,
    Matched,
    Reading,
    compare_curves,
    depth_difference,
    level_difference,
    matched_difference,
    slope_of,
)
from lacuna.significance.multiple import benjamini_hochberg, holm
from lacuna.significance.power import (
    Need,
    Spread,
    needed,
    power_better,
    power_no_better,
    spread_from_pilot,
)
from lacuna.significance.reanalysis import Printed, Reanalysed, reanalyse
from lacuna.significance.seeds import arms_paired, p_value, paired, sign_flip, t_interval
from lacuna.significance.two_way import TwoWay, two_way_of_arms, two_way_t

__all__ = [
    "LEVELS",
    "METRICS",
    "Arms",
    "Assay",
    "Blocks",
    "Curve",
    "Decision",
    "Matched",
    "Need",
    "Printed",
    "Reading",
    "Reanalysed",
    "Spread",
    "Strength",
    "TwoWay",
    "arms_of",
    "arms_paired",
    "aues_difference",
    "benjamini_hochberg",
    "block_randomisation",
    "compare",
    "compare_curves",
    "depth_difference",
    "enough",
    "erases_more",
    "floored",
    "holm",
    "insensitive",
    "level_difference",
    "matched_difference",
    "needed",
    "no_better",
    "p_value",
    "paired",
    "power_better",
    "power_no_better",
    "reanalyse",
    "rises",
    "sign_flip",
    "slope_of",
    "slope_weights",
    "spread_from_pilot",
    "t_interval",
    "two_way_of_arms",
    "two_way_t",
]
