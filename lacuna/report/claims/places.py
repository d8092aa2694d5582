"""Which cells claims are about: the true region and its rivals, named as the verdict names them."""

import re
from collections.abc import Mapping, Sequence

from lacuna.report.cells import BASELINE, ORACLE, Cell, CellKey, StageRows, grouped, trials
from lacuna.report.results import Results
from lacuna.results import TrialRow

LACUNA = "Boglioni et al. 2026 (LACUNA), arXiv 2607.02513"
Rivals = Mapping[str, Cell[TrialRow]]
"""Scenario -> its cell, of one ratio and objective."""
RATIO = re.compile(r" at ([\d.e-]+)(?=,| |$)")
"""The ratio in the name of a cell."""


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


def shortened(names: Sequence[str]) -> tuple[list[str], str]:
    """Names without the ratio and the ending that all share, and these.

    `dpo at 0.1, lora` and `npo at 0.1, lora` become `dpo` and `npo`, at 0.1, lora. A name alone
    keeps what it says.
    """
    if len(names) < 2:
        return list(names), ""
    ratios = {tuple(RATIO.findall(name)) for name in names}
    same = len(ratios) == 1 and len(next(iter(ratios))) == 1
    words = [(RATIO.sub("", name, count=1) if same else name).split(" ") for name in names]
    ending = 0
    while ending < min(map(len, words)) - 1 and len({own[-ending - 1] for own in words}) == 1:
        ending += 1
    left = [" ".join(own[: len(own) - ending]).rstrip(",") for own in words]
    ratio = f"at {next(iter(ratios))[0]}" if same else ""
    shared = " ".join(words[0][len(words[0]) - ending :])
    return left, ", ".join(filter(None, (ratio, shared)))
