"""Localization precision: whether the weights that unlearning moved are those that hold facts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, get_args

from typing_extensions import TypedDict

from lacuna.report.cells import Cell, TrialKey, grouped, trials
from lacuna.report.columns import KEYS, SEEDS, STATUS, N, Place
from lacuna.report.results import Results
from lacuna.report.scores import inside, measured, read, record_of, rounded_areas, scores
from lacuna.report.table import TABLES, Column, Recorded, Row, StudyTable, columns_of
from lacuna.results import ChangedInside, PrecisionScore, TrialRow

Found = Sequence[PrecisionScore | None]
NULLS = {
    "": "of the update",
    "noise": "of Gaussian noise as large as the update",
    "random": "of the update itself, shuffled within each matrix",
    "magnitude": "of the sizes of the weights before",
}
"""What is scored: the update, and the nulls that know nothing."""


class Head(Place):
    """What is scored against which masks, and the area under its ROC curve."""

    truth: Annotated[
        str, Column("`forget`: masks of the groups to forget; `union`: masks of all groups")
    ]
    score: Annotated[str, Column("How a weight's change is scored; `raw`: its size")]
    headline: Annotated[bool, Column("Whether it is the score that was fixed beforehand")]
    status: Annotated[str, STATUS]
    n: Annotated[int, N]
    seeds: Annotated[list[int | None], SEEDS]
    chance: Annotated[float | None, Column("The truth's share of all weights", "share")]
    auc_mean: Annotated[
        float | None,
        Column(
            "Chance that a weight of the truth scores above another one, mean over seeds; "
            "0.5: blind"
        ),
    ]
    auc_sd: Annotated[float | None, Column("Standard deviation of the AUC over seeds")]
    auc_lo: Annotated[float | None, Column("Lower end of the 95% t interval of the mean AUC")]
    auc_hi: Annotated[float | None, Column("Upper end of the 95% t interval of the mean AUC")]
    auc_noise: Annotated[float | None, Column(f"AUC {NULLS['noise']}")]
    auc_random: Annotated[float | None, Column(f"AUC {NULLS['random']}")]
    auc_magnitude: Annotated[float | None, Column(f"AUC {NULLS['magnitude']}")]
    above_null: Annotated[float | None, Column("Mean AUC minus the highest of its nulls'")]


Top = Literal[
    "0.1%", "noise_0.1%", "random_0.1%", "magnitude_0.1%",
    "1%", "noise_1%", "random_1%", "magnitude_1%",
    "5%", "noise_5%", "random_5%", "magnitude_5%",
    "10%", "noise_10%", "random_10%", "magnitude_10%",
]  # fmt: skip
"""The precision of the highest scores, as a record names it."""


def _column(top: Top) -> Column:
    null, _, share = top.rpartition("_")
    text = f"Share of the truth among the {share} of weights with the highest score {NULLS[null]}"
    return Column(text, "share", name=f"p@{share}{null and f'_{null}'}")


TOPS: Mapping[Top, Column] = {top: _column(top) for top in get_args(Top)}


class Tail(TypedDict):
    """The change as a set of weights, and the headline after rounding."""

    changed: Annotated[float | None, Column("Share of the scored weights that moved", "share")]
    energy_inside: Annotated[
        float | None, Column("Share of the squared change that lies in the truth", "share")
    ]
    auc_bf16: Annotated[
        float | None, Column("AUC of the headline score once both models are bfloat16")
    ]
    recall_bf16: Annotated[
        float | None,
        Column("Share of the truth's weights that still differ once both models are bfloat16"),
    ]
    keys: Annotated[list[str], KEYS]


@TABLES.register("precision")
class Precision(StudyTable):
    """AUC and precision of single weights; no rows in studies of value vectors."""

    order = 60
    title = "Localization precision"
    note = (
        "auc: chance that a weight of the truth (forget: masks of the groups to forget; union: all "
        "masks) scores above another one; 0.5 is blind. p@k: share of the truth among the k with "
        "the highest score; chance is the truth's share of all weights. Beside each stand its "
        "nulls, which know nothing: noise (Gaussian, as large as the update), random (the update "
        "itself, shuffled within each matrix), magnitude (the size of a weight before). The "
        "headline score, raw |change|, was fixed beforehand and stands first. Any other one says "
        "only what it finds above its null (above_null: its auc minus the highest of the three): "
        "some find the masks in noise. changed: share of the weights that moved; energy_inside: "
        "share of the squared change that lies in the truth. auc_bf16, of the headline score: the "
        "same once both models are rounded to bfloat16, where recall_bf16 is the share p of the "
        "truth's weights that still differ; an update inside the truth then has 1/2 + p/2."
    )
    columns = (*columns_of(Head), *TOPS.values(), *columns_of(Tail))
    optional = True
    recorded = Recorded(("ratio", "objective", "scenario", "truth", "score"), ("auc_mean",), 0.01)

    @staticmethod
    def rows(results: Results) -> Iterator[Row]:
        """By cell, truth and score: the headline score first."""
        for key, cell in grouped(trials(results.stages), TrialKey.of).items():
            for truth, score in measured(cell):
                found = scores(cell, truth, score)
                head = _head(key, cell, truth, score, found)
                tops = {column.name: _top(cell, found, top) for top, column in TOPS.items()}
                yield {**head, **tops, **_tail(cell, truth, head["headline"])}


def _head(key: TrialKey, cell: Cell[TrialRow], truth: str, score: str, found: Found) -> Head:
    area = cell.spread(read(found, lambda row: row["auc"]))
    noise = cell.spread(read(found, lambda row: row["noise_auc"])).mean
    shuffled = cell.spread(read(found, lambda row: row["random_auc"])).mean
    magnitude = cell.spread(read(found, lambda row: row["magnitude_auc"])).mean
    nulls = [value for value in (noise, shuffled, magnitude) if value is not None]
    return {
        **key.place,
        "truth": truth,
        "score": score,
        "headline": any(row["headline"] for row in found if row is not None),
        "status": cell.status,
        "n": area.n,
        "seeds": cell.seeds,
        "chance": cell.spread(read(found, lambda row: row["chance"])).mean,
        "auc_mean": area.mean,
        "auc_sd": area.sd,
        "auc_lo": area.lo,
        "auc_hi": area.hi,
        "auc_noise": noise,
        "auc_random": shuffled,
        "auc_magnitude": magnitude,
        "above_null": area.mean - max(nulls) if area.mean is not None and nulls else None,
    }


def _top(cell: Cell[TrialRow], found: Found, top: Top) -> float | None:
    return cell.spread(read(found, lambda row: row[top])).mean


def _tail(cell: Cell[TrialRow], truth: str, headline: bool) -> Tail:
    changed = inside(cell, truth)
    coarse = rounded_areas(cell, truth) if headline else [None] * len(cell.done)
    return {
        "changed": cell.spread(_moved(cell, changed)).mean,
        "energy_inside": cell.spread(read(changed, lambda row: row["energy_inside"])).mean,
        "auc_bf16": cell.spread(read(coarse, lambda row: row["auc"])).mean,
        "recall_bf16": cell.spread(read(coarse, lambda row: row["recall"])).mean,
        "keys": cell.keys,
    }


def _moved(cell: Cell[TrialRow], changed: Sequence[ChangedInside | None]) -> list[float | None]:
    """Share of the scored weights that moved, in each finished stage."""
    return [
        row["changed"] / record["scored_weights"] if row and record else None
        for record, row in zip(map(record_of, cell.done), changed, strict=True)
    ]
