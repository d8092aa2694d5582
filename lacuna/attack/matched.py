"""Matched start: methods that forgot to different depths, attacked from the same forget level.

On the mixing curve from injected (alpha 0) to unlearned (alpha 1) the forget ES falls. Bisection
finds an alpha where it is near the wanted level; the region's values are set in place and put back
afterwards. A method that never got down to the level has no matched start.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from lacuna.train import Editable, Values, mix

HALVINGS = 12
"""Steps of the bisection: alpha is known to 1/4096."""


class Start(NamedTuple):
    """A point of the mixing curve."""

    alpha: float
    es: float


def find_start(
    strength: Callable[[], float],
    weights: Editable,
    start: Values,
    end: Values,
    level: float,
    tolerance: float,
    known: dict[float, float] | None = None,
) -> Start | None:
    """The point nearest to forget ES `level`, or None if none found lies within `tolerance`.

    `strength` measures the model as it is. ES moves in steps of one token of one fact, and need not
    fall at every step of alpha: the bisection follows one crossing. Afterwards the weights hold
    `end`. `known`, alpha -> ES, has what was measured for other levels, and gets what is measured.
    """
    measured: dict[float, float] = {} if known is None else known

    def at(alpha: float) -> Start:
        if alpha not in measured:
            mix(weights, start, end, alpha)
            measured[alpha] = strength()
        return Start(alpha, measured[alpha])

    try:
        low, high = at(0.0), at(1.0)
        best = min(low, high, key=lambda point: abs(point.es - level))
        if not high.es <= level <= low.es:
            return best if abs(best.es - level) <= tolerance else None
        for _ in range(HALVINGS):
            middle = at((low.alpha + high.alpha) / 2)
            best = min(best, middle, key=lambda point: abs(point.es - level))
            if middle.es > level:
                low = middle
            else:
                high = middle
        return best if abs(best.es - level) <= tolerance else None
    finally:
        weights.write(end)


@contextmanager
def mixed(weights: Editable, start: Values, end: Values, alpha: float) -> Iterator[None]:
    """Within the block the model is the mixture at `alpha`; afterwards it holds `end`."""
    mix(weights, start, end, alpha)
    try:
        yield
    finally:
        weights.write(end)
