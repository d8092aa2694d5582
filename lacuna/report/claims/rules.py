"""The rule that judges a claim, fixed before any result.

Every claim is about a paired difference over seeds with a 95% interval. Where the interval lies
(`position`) decides, with a margin of difference too small to matter (`Margins`):

    equal    the whole interval lies within +- margin
    above    it is not equal, and lies wholly above 0
    below    it is not equal, and lies wholly below 0
    unclear  anything else

A claim holds at the positions that its family names and fails at the others; `unclear` leaves it
undetermined. Fewer than three seeds, a failed or undefined trial, or (for MU95) a curve that never
falls to 95% utility, leave a claim undetermined whatever its interval. Intervals: AUES by a
bootstrap over seeds and people, all others Student's t over seeds. p is the exact sign-flip test
over seeds, given beside the verdict and not part of the rule: n seeds cannot bring it below 2/2^n.
Nothing is corrected for the number of claims; read a family as a whole.
"""

from collections.abc import Sequence, Set
from typing import Literal, cast

from lacuna.report.cells import without_paths
from lacuna.results import Comparison, Paired

Position = Literal["equal", "above", "below", "unclear"]
Verdict = Literal["holds", "fails", "undetermined"]
MIN_SEEDS = 3
NO_MORE: frozenset[Position] = frozenset({"equal", "below"})
"""Upholds "a is not more than b": one-sided, so less is no argument against it."""
LESS: frozenset[Position] = frozenset({"below"})
"""Upholds "a is less than b": as much is too much."""


def position(interval: Sequence[float], margin: float) -> Position:
    """Where an interval lies: `equal`, `above`, `below` or `unclear` (see the module's table)."""
    low, high = interval
    if -margin <= low and high <= margin:
        return "equal"
    return "above" if low > 0 else "below" if high < 0 else "unclear"


def decide(record: Paired, upheld: Set[Position], margin: float) -> tuple[Verdict, str]:
    """The verdict on one paired difference, and its reason."""
    effect, interval = record["diff"], record["interval"]
    if obstacle := _obstacle(record):
        return "undetermined", obstacle
    if effect is None or interval is None:
        return "undetermined", too_few(record["n_seeds"])
    where = position(interval, margin)
    lies = {
        "equal": f"lies within the margin of +-{margin:g}",
        "above": "lies wholly above 0",
        "below": "lies wholly below 0",
        "unclear": f"neither excludes 0 nor lies within the margin of +-{margin:g}",
    }[where]
    low, high = interval
    n = record["n_seeds"]
    reason = f"{effect:+.3g}, 95% interval [{low:.3g}, {high:.3g}] over {n} seeds, {lies}"
    if where == "unclear":
        return "undetermined", reason
    return ("holds" if where in upheld else "fails"), reason


def _obstacle(record: Paired) -> str:
    """Why the difference cannot be judged, whatever its interval; empty if it can."""
    missing = [without_paths(reason) for reason in record["missing"]]
    if missing:
        return f"not every pair of seeds has a value: {'; '.join(missing)}"
    if record["n_seeds"] < MIN_SEEDS:
        return too_few(record["n_seeds"])
    compared = cast(Comparison, record)
    uncrossed = {*compared.get("uncrossed_a", []), *compared.get("uncrossed_b", [])}
    if uncrossed:
        seeds = ", ".join(map(str, sorted(uncrossed)))
        return f"utility never fell to 95% at seeds {seeds}: MU95 is not reached"
    return ""


def too_few(n: int) -> str:
    """The reason where seeds are too few."""
    return f"n = {n}: at least {MIN_SEEDS} seeds are needed"
