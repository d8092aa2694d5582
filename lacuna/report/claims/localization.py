"""LACUNA: localization is imprecise, of localizers' regions and of full-parameter unlearning."""

from collections.abc import Callable, Iterator

from lacuna.report.cells import FULL, Cell, R
from lacuna.report.claims.family import CLAIMS, Claims, Evidence, Family
from lacuna.report.claims.places import LACUNA, named, trial_cells
from lacuna.report.localizers import CONTROLS, localizer_cells, privileges
from lacuna.report.results import Results
from lacuna.report.scores import Chances, chances
from lacuna.results import Paired, TrialRow
from lacuna.significance import paired

FAMILY = Family(
    name="localization",
    sentence="LACUNA, localization: regions found or changed are near chance",
    source=LACUNA,
    difference="share of the region that lies in the target, minus that of a blind draw",
    rule="no better",
    margin=lambda margins: margins.precision,
)


@CLAIMS.register("localization")
class Localization(Claims):
    """Precision above chance of what localizers find and full-parameter unlearning changes.

    A localizer that is told what a real one would not know, or looks at no fact, is no claim.
    """

    order = 30
    families = (FAMILY,)

    @staticmethod
    def evidence(results: Results) -> Iterator[Evidence]:
        """Localizers, then the changes of full-parameter unlearning."""
        blind = chances(results.stages)
        for (ratio, name), cell in localizer_cells(results.stages).items():
            if privileges(cell) or name in CONTROLS:
                continue
            yield Evidence(
                family=FAMILY,
                about=f"{named(name, ratio)} region",
                statement=f"The region that {name} finds holds no more of the target than chance.",
                record=_against_chance(cell, lambda s: s["summary"].get("precision"), ratio, blind),
                keys=cell.keys,
            )
        for key, trials in trial_cells(results.stages).items():
            if key.scenario == FULL:
                yield Evidence(
                    family=FAMILY,
                    about=f"{named(key.objective, key.ratio)} full-parameter change",
                    statement=(
                        f"Full-parameter {key.objective} changes the target no more than chance."
                    ),
                    record=_against_chance(trials, _change, key.ratio, blind),
                    keys=trials.keys,
                )


def _change(stage: TrialRow) -> float | None:
    record = stage["summary"]["localization"]
    change = record and record["change"]
    return change and change["precision"]


def _against_chance(
    cell: Cell[R], read: Callable[[R], float | None], ratio: float | None, blind: Chances
) -> Paired:
    """Precision minus that of a blind draw (the ratio where `blind` says nothing), over seeds."""
    values = cell.paired(cell.values(read))
    seeds = [seed or 0 for seed in values]
    chance = [blind.get((ratio, seed), ratio or 0.0) for seed in seeds]
    return paired(list(values.values()), chance, seeds)
