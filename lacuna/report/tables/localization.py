"""Precision and recall against the target region, of localizers and of what trials changed."""

from collections.abc import Iterator
from typing import Annotated

from typing_extensions import TypedDict

from lacuna.report.cells import Cell
from lacuna.report.columns import KEYS, SEEDS, STATUS, LocatedPlace, N
from lacuna.report.localizers import (
    LocalizerKey,
    Located,
    localizer_cells,
    located,
    privileges,
)
from lacuna.report.results import Results
from lacuna.report.scores import Chances, chances
from lacuna.report.table import TABLES, Column, Recorded, StudyTable, columns_of
from lacuna.results import LocalizedRow

PRECISION = "share of the region that lies in the target"
RECALL = "share of the target that lies in the region"
AUC = (
    "chance that a vector inside the target scores above one outside, over all budgets; 0.5: blind"
)


class Overlaps(TypedDict):
    """A region over seeds; what follows on AUC is of localizers only."""

    status: Annotated[str, STATUS]
    n: Annotated[int, N]
    seeds: Annotated[list[int | None], SEEDS]
    chance: Annotated[float | None, Column("Precision of a blind draw", "share")]
    told: Annotated[
        list[str] | None, Column("What a localizer is given that a real one would not have")
    ]
    precision_mean: Annotated[float | None, Column(f"Mean {PRECISION}", "share", "higher")]
    precision_sd: Annotated[
        float | None, Column("Standard deviation of precision over seeds", "share")
    ]
    precision_lo: Annotated[
        float | None, Column("Lower end of the 95% t interval of mean precision", "share")
    ]
    precision_hi: Annotated[
        float | None, Column("Upper end of the 95% t interval of mean precision", "share")
    ]
    recall_mean: Annotated[float | None, Column(f"Mean {RECALL}", "share", "higher")]
    recall_sd: Annotated[float | None, Column("Standard deviation of recall over seeds", "share")]
    recall_lo: Annotated[
        float | None, Column("Lower end of the 95% t interval of mean recall", "share")
    ]
    recall_hi: Annotated[
        float | None, Column("Upper end of the 95% t interval of mean recall", "share")
    ]


class Ranked(TypedDict):
    """How a localizer's scores rank the target; None of regions that have no scores."""

    auc_mean: Annotated[float | None, Column(f"Mean {AUC}", "", "higher")]
    auc_sd: Annotated[float | None, Column("Standard deviation of the AUC over seeds")]
    auc_lo: Annotated[float | None, Column("Lower end of the 95% t interval of the mean AUC")]
    auc_hi: Annotated[float | None, Column("Upper end of the 95% t interval of the mean AUC")]
    average_precision_mean: Annotated[
        float | None,
        Column("Mean precision over all recall levels; a blind ranking has chance", "", "higher"),
    ]


class Blind(TypedDict):
    """What localizers that look at no fact reach at the same ratio."""

    precision_of_norm: Annotated[
        float | None, Column(f"Of the longest value vectors: {PRECISION}", "share")
    ]
    auc_of_norm: Annotated[float | None, Column(f"Of vectors' lengths: {AUC}")]
    precision_of_random: Annotated[
        float | None, Column(f"Of vectors drawn blindly: {PRECISION}", "share")
    ]
    auc_of_random: Annotated[float | None, Column(f"Of random scores: {AUC}")]
    precision_of_random_layers: Annotated[
        float | None,
        Column(f"Of vectors drawn blindly, in each layer as many as the target has: {PRECISION}"),
    ]
    auc_of_random_layers: Annotated[
        float | None, Column(f"Of random scores that know the target's layers: {AUC}")
    ]


class LocalizationRow(LocatedPlace, Overlaps, Ranked, Blind):
    """A region over seeds."""

    keys: Annotated[list[str], KEYS]


NO_SCORES: Ranked = {
    "auc_mean": None,
    "auc_sd": None,
    "auc_lo": None,
    "auc_hi": None,
    "average_precision_mean": None,
}


@TABLES.register("localization")
class Localization(StudyTable):
    """How well localizers, and what trials changed, find the region that holds the facts."""

    order = 50
    title = "Localization"
    note = (
        "Against the target region, where the facts were injected. subject: a localizer's own "
        "region, the region a trial was allowed to touch, or the value vectors it changed most. "
        "chance: precision of a blind draw (the share of the target). told: what a localizer is "
        "given that a real one would not have. auc: chance that a vector inside scores above "
        "another one, over the whole model and every budget (0.5: blind). Beside each localizer "
        "stand those that look at no fact: norm (the length of a vector), random, and "
        "random_layers (random, with the target's number of vectors in each layer)."
    )
    columns = columns_of(LocalizationRow)
    recorded = Recorded(("ratio", "subject", "objective", "name"), ("precision_mean",), 0.05)

    @staticmethod
    def rows(results: Results) -> Iterator[LocalizationRow]:
        """Localizers first, then the trials' regions and changes."""
        shares, cells = chances(results.stages), localizer_cells(results.stages)
        for one in located(results.stages):
            controls = {} if one.localizer is None else cells
            yield {
                **one.place,
                **_overlaps(one, shares),
                **(NO_SCORES if one.localizer is None else _ranked(one.localizer)),
                **_blind(one.ratio, controls),
                "keys": one.cell.keys,
            }


def _overlaps(one: Located, shares: Chances) -> Overlaps:
    cell = one.cell
    precision = cell.spread([record and record.get("precision") for record in one.records])
    recall = cell.spread([record and record.get("recall") for record in one.records])
    known = [shares[one.ratio, seed] for seed in cell.seeds if (one.ratio, seed) in shares]
    return {
        "status": cell.status,
        "n": recall.n,
        "seeds": cell.seeds,
        "chance": sum(known) / len(known) if known else one.ratio,
        "told": privileges(one.localizer) if one.localizer else None,
        "precision_mean": precision.mean,
        "precision_sd": precision.sd,
        "precision_lo": precision.lo,
        "precision_hi": precision.hi,
        "recall_mean": recall.mean,
        "recall_sd": recall.sd,
        "recall_lo": recall.lo,
        "recall_hi": recall.hi,
    }


def _ranked(cell: Cell[LocalizedRow]) -> Ranked:
    auc = cell.over(lambda stage: stage["summary"].get("auc"))
    return {
        "auc_mean": auc.mean,
        "auc_sd": auc.sd,
        "auc_lo": auc.lo,
        "auc_hi": auc.hi,
        "average_precision_mean": cell.over(
            lambda stage: stage["summary"].get("average_precision")
        ).mean,
    }


def _blind(ratio: float | None, cells: dict[LocalizerKey, Cell[LocalizedRow]]) -> Blind:
    """Means of the localizers that look at no fact, of those that were run."""
    nobody: Cell[LocalizedRow] = Cell()

    def precision(name: str) -> float | None:
        cell = cells.get((ratio, name), nobody)
        return cell.over(lambda stage: stage["summary"].get("precision")).mean

    def auc(name: str) -> float | None:
        cell = cells.get((ratio, name), nobody)
        return cell.over(lambda stage: stage["summary"].get("auc")).mean

    return {
        "precision_of_norm": precision("norm"),
        "auc_of_norm": auc("norm"),
        "precision_of_random": precision("random"),
        "auc_of_random": auc("random"),
        "precision_of_random_layers": precision("random_layers"),
        "auc_of_random_layers": auc("random_layers"),
    }
