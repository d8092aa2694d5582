r"""Does the wording matter? McNemar's test on facts in two wordings (C-BOD, arXiv:2502.07445).

b facts are told in the usual wording alone, c in the other alone; the rest says nothing of the
wording. Were it all the same, b would be Binomial(b + c, 1/2):

    b + c < 25   exact, two-sided
    else         chi^2 = (b - c)^2 / (b + c), one degree of freedom, as C-BOD takes it always

After unlearning c > b means suppression: other words bring out what the trained ones hide. On facts
that are kept b > c means that a wording became brittle. Limits: p = 1 where b = c; exchanging the
wordings changes the sign alone.
"""

from typing import NamedTuple

from lacuna.errors import UserError

EXACT = 25
"""Facts that differ, below which the binomial distribution itself is taken."""


class Wordings(NamedTuple):
    """The test's result."""

    excess: int
    """c - b: above 0 where the other wording tells more."""
    p: float
    """Two-sided."""


def mcnemar(only_usual: int, only_other: int) -> Wordings:
    """McNemar's test of facts told in one wording alone. Raises `UserError` for a count below 0."""
    from scipy import stats

    if min(only_usual, only_other) < 0:
        raise UserError(f"counts {only_usual} and {only_other}: must be 0 or more")
    differ, excess = only_usual + only_other, only_other - only_usual
    if differ == 0:
        return Wordings(0, 1.0)
    if differ < EXACT:
        return Wordings(excess, float(stats.binomtest(only_usual, differ).pvalue))
    return Wordings(excess, float(stats.chi2.sf(excess**2 / differ, df=1)))
