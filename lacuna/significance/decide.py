"""Verdicts from intervals: one-sided against a margin, by rules fixed before any result.

A difference is a - b: the true region minus its rival. The interval is two-sided 95%, so each
one-sided decision errs in at most 2.5% of studies.

| claim | holds | fails | else |
|---|---|---|---|
| no better (more is better) | high < margin | low > 0 | undetermined |
| erases more (less is better) | high < 0 | low > -margin | undetermined |
| rises (a slope; more is better) | low > 0 | high < margin | undetermined |

Where both columns apply, a difference certainly smaller than the margin counts as none: *no better*
holds, and its negations fail: *rises*, and *erases more* with the sign turned. What is better is
worded "perhaps by less than the margin" unless the whole interval lies beyond it.

A claim about an attack is undetermined, with the reason, where the study could not have shown it
(`Assay`): the attack did not bring back what it trained on; nothing that a rival lets back is to be
seen above a model that never knew; the arms started apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lacuna.errors import UserError
from lacuna.significance.arms import Floats

Verdict = Literal["holds", "fails", "undetermined"]

WORKED = 0.9
"""Mean ES of the attacked people from which an attack counts as having worked."""
MIN_SEEDS = 3
"""Fewest seeds that decide anything: a spread of two values is hardly known."""


@dataclass(frozen=True)
class Decision:
    """A verdict and its reason in words."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Assay:
    """What a claim about an attack needs to be decidable; None where it was not measured."""

    attacked_a: float | None
    """Mean ES of the attacked people afterwards, with the true region."""
    attacked_b: float | None
    """The same with the rival."""
    above_control: Sequence[float] | None
    """Interval of the rival's level minus the retained control's, over seeds."""
    start_a: float | None = None
    """Mean level before the attack; None where the arms started from a matched level."""
    start_b: float | None = None


def no_better(low: float, high: float, margin: float) -> Decision:
    """Is a no better than b by the margin? [low, high] is the interval of a - b, more is better.

    Raises `UserError` for a margin that is not above 0 or an interval that is none.
    """
    _check(low, high, margin)
    if high < margin:
        return Decision("holds", f"better by {margin:g} or more is excluded")
    if low > 0:
        return Decision("fails", f"better{_by(low > margin, margin)}")
    return Decision(
        "undetermined", f"neither being better nor being no better by {margin:g} is excluded"
    )


def erases_more(low: float, high: float, margin: float, assay: Assay | None = None) -> Decision:
    """Does less come back with a than with b? [low, high] is the interval of a - b.

    Levels below the retained control's must have been raised to it (`floored`). With an `assay`,
    the claim is undetermined where `insensitive` gives a reason. Raises `UserError` as `no_better`.
    """
    _check(low, high, margin)
    if assay is not None and (reason := insensitive(assay, margin)):
        return Decision("undetermined", reason)
    if low > -margin:
        return Decision("fails", f"less by {margin:g} or more is excluded")
    if high < 0:
        return Decision("holds", f"less comes back{_by(high < -margin, margin)}")
    return Decision(
        "undetermined", f"neither less coming back nor no less by {margin:g} is excluded"
    )


def rises(low: float, high: float, margin: float) -> Decision:
    """Is a slope above 0, and could it be as steep as the margin? The negation of `no_better`."""
    found = no_better(low, high, margin)
    if found.verdict == "holds":
        return Decision("fails", f"a rise by {margin:g} or more is excluded")
    if found.verdict == "fails":
        return Decision("holds", f"it rises{_by(low > margin, margin)}")
    return Decision("undetermined", f"neither a rise nor none of {margin:g} or more is excluded")


def enough(n: int, interval: Sequence[float] | None) -> Decision | None:
    """Undetermined where there are too few seeds, or no interval; else None."""
    if n < MIN_SEEDS:
        return Decision("undetermined", f"n = {n}: at least {MIN_SEEDS} seeds are needed")
    if interval is None:
        return Decision("undetermined", "no interval: undefined without one of the people")
    return None


def insensitive(assay: Assay, margin: float) -> str | None:
    """Why a claim about an attack could not have been decided either way; None where it could."""
    arms = (("with the true region", assay.attacked_a), ("with its rival", assay.attacked_b))
    for arm, reached in arms:
        if reached is None:
            return f"whether the attacked people came back {arm} was not measured"
        if not reached >= WORKED:
            return (
                f"the attack did not work {arm}: ES of the attacked people is {reached:.2f} "
                f"(at least {WORKED:g} is needed)"
            )
    if assay.above_control is None:
        return "the level of a model that never knew was not measured"
    if not assay.above_control[0] > margin:
        return (
            f"nothing to prevent: with the rival no more than {margin:g} above a model that never "
            f"knew is certain to come back (lower bound {assay.above_control[0]:+.3g})"
        )
    if assay.start_a is not None and assay.start_b is not None:
        apart = assay.start_a - assay.start_b
        if not abs(apart) <= margin:
            return (
                f"the arms start apart by {apart:+.3g} (at most {margin:g} is allowed): "
                f"attack from a matched start"
            )
    return None


def floored(levels: ArrayLike, control: ArrayLike) -> Floats:
    """Levels (n,) with those below the retained control's (n,) or () raised to it.

    An arm that ends below a model that never knew has not erased more than everything.
    """
    return np.asarray(np.maximum(levels, control), float)


def _by(beyond: bool, margin: float) -> str:
    if beyond:
        return f" by more than the margin of {margin:g}"
    return f", perhaps by less than the margin of {margin:g}"


def _check(low: float, high: float, margin: float) -> None:
    if not (np.isfinite(margin) and margin > 0):
        raise UserError(f"margin {margin:g}: a margin is a number above 0")
    if not low <= high:
        raise UserError(f"interval [{low:g}, {high:g}]: its ends are not in order")
