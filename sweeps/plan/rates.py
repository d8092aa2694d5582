"""Which learning rates a cell of the grid is tried with."""

import math
from collections.abc import Mapping

import numpy as np

from lacuna.errors import UserError
from lacuna.localize import LOCALIZERS
from lacuna.registry import suggest
from lacuna.unlearn import OBJECTIVES, parse
from lacuna.unlearn.edits.base import Edit
from sweeps.config.schema import Study
from sweeps.plan.stages import Cell


class Rates:
    """The learning rates that a study's configuration lists, fixes or leaves to a searcher."""

    def __init__(self, config: Study) -> None:
        self.config = config

    def check(self) -> None:
        """Raise `UserError` for a table of rates that names what does not exist, or lists no
        numbers."""
        places = ["region", "full", "uniform", *LOCALIZERS]
        for scenario, table in self.config.unlearn.lrs.items():
            key = f"unlearn.lrs.{scenario}"
            if scenario not in places:
                raise UserError(f"{key}: unknown scenario {scenario!r}{suggest(scenario, places)}")
            if not isinstance(table, Mapping):
                raise UserError(f"{key}={table}: name objectives, such as {key}.npo=[1e-5,1e-4]")
            for objective, rates in table.items():
                parse(objective)
                if not isinstance(rates, list):
                    raise UserError(f"{key}.{objective}={rates}: give a list, such as [1e-5,1e-4]")

    def candidates(self, cell: Cell) -> list[float]:
        """The fixed rate, or those listed for this scenario and objective.

        Raises `UserError` where there are none, or for one that is no rate.
        """
        _, objective, scenario = cell
        if self.config.unlearn.lr is not None:
            return [_rate(self.config.unlearn.lr)]
        table = self.config.unlearn.lrs
        kind = "full" if scenario == "full" else "region"
        base = parse(objective).objective
        listed = [
            table.get(where, {}).get(name)
            for name in dict.fromkeys((objective, base))
            for where in (scenario, kind)
        ]
        rates = next(filter(None, listed), OBJECTIVES[base].rates)
        if not rates:
            raise UserError(
                f"no learning rates for objective {objective!r} in scenario {scenario!r}: set "
                f"unlearn.lr=RATE or +unlearn.lrs.{kind}.{objective}=[RATE,...]"
            )
        return [_rate(rate) for rate in rates]

    def bounds(self, cell: Cell) -> tuple[float, float]:
        """Lowest and highest rate that a searcher may suggest; for cells that are searched."""
        search, rates = self.config.search, self.candidates(cell)
        low = min(rates) if search.low is None else search.low
        high = max(rates) if search.high is None else search.high
        return float(low), float(high)

    def foreseen(self, cell: Cell) -> list[float]:
        """The rates that will be tried; for a searcher, placeholders of the right number."""
        search, rates = self.config.search, self.candidates(cell)
        if search.method == "grid" or len(rates) == 1:
            return rates
        low, high = self.bounds(cell)
        return [float(rate) for rate in np.geomspace(low, high, search.trials + 2)[1:-1]]

    def rungs(self, cell: Cell) -> list[int]:
        """Steps after which the cell's rates are compared, the last a whole trial's.

        An edit makes no steps, so it has no curve to stop on.
        """
        search, whole = self.config.search, self.config.unlearn.train.steps
        if issubclass(OBJECTIVES[parse(cell.objective).objective], Edit):
            return [whole]
        fewer = {whole // search.eta**power for power in range(1, search.rungs + 1)}
        return [*sorted(fewer - {0, whole}), whole]


def _rate(value: object) -> float:
    """Checks a learning rate of the configuration."""
    if not isinstance(value, int | float) or not (value >= 0 and math.isfinite(value)):
        raise UserError(f"learning rate {value!r}: must be a finite number, 0 or more")
    return float(value)
