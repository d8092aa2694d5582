"""Which cells claims are about: the true region and its rivals, named as the verdict names them."""

from collections.abc import Mapping

from lacuna.report.cells import BASELINE, ORACLE, Cell, CellKey, StageRows, grouped, trials
from lacuna.report.results import Results
from lacuna.results import TrialRow

LACUNA = "Boglioni et al. 2026 (LACUNA), arXiv 2607.02513"
Rivals = Mapping[str, Cell[TrialRow]]
"""Scenario -> its cell, of one ratio and objective."""


def trial_cells(stages: StageRows) -> dict[CellKey, Cell[TrialRow]]:
    """Test trials by cell, whatever their rates."""
    return grouped(trials(stages), CellKey.of)


def scenarios(results: Results) -> dict[tuple[float | None, str | None], Rivals]:
    """Cells of test trials by ratio and objective; only those with the true and a random region.

    A scenario for which no learning rate survived has an empty cell: its claim is undetermined, not
    left out.
    """
    places: dict[tuple[float | None, str | None], dict[str, Cell[TrialRow]]] = {}
    for key, cell in trial_cells(results.stages).items():
        places.setdefault((key.ratio, key.objective), {})[str(key.scenario)] = cell
    for choice in results.choices:
        place = (choice["ratio"], choice["objective"])
        if choice["lr"] is None and place in places:
            places[place].setdefault(choice["scenario"], Cell())
    return {place: cells for place, cells in places.items() if {ORACLE, BASELINE} <= cells.keys()}


def named(name: str | None, ratio: float | None) -> str:
    """`name` with its ratio."""
    return str(name) if ratio is None else f"{name} at {ratio:g}"
