"""Where facts are and where updates went: regions found, and single weights against the masks."""

from typing import NotRequired, final

from typing_extensions import TypedDict


class LayerOverlap(TypedDict):
    """Precision and recall within one layer; None where nothing was chosen or nothing is true."""

    layer: int
    precision: float | None
    recall: float | None


class Overlap(TypedDict, closed=True):
    """Precision and recall of a region against the true one, in all and by layer."""

    precision: float | None
    recall: float | None
    by_layer: list[LayerOverlap]


class Ranking(TypedDict, closed=True):
    """How well scores rank the true region first; None where it is empty or everything."""

    auc: float | None
    """Chance that a true vector outranks another one, ties counting half; 0.5 is blind."""
    average_precision: float | None
    """Mean precision over the recall levels; a blind ranking has the truth's share."""


class SwapRecord(TypedDict):
    """Mean forget ES with one region exchanged between the injected and the retained model."""

    without_es: float
    """Of the injected model, the region put back to its retained values."""
    alone_es: float
    """Of the retained model with the region's injected values."""
    floor_es: float
    """Of the retained model."""
    ceiling_es: float
    """Of the injected model."""


class Gauged(TypedDict):
    """One localizer, asked of the model in another gauge: the same function, other lengths."""

    rank_correlation: float | None
    """Spearman's, of its scores with those in the model as it is; None where all are alike."""
    kept: float | None
    """Share of its region that is chosen again."""
    precision: float | None
    auc: float | None


class GaugeRecord(TypedDict):
    """The gauge test of one localizer (`lacuna.localize.gauge`)."""

    random: list[Gauged]
    """Under random rescalings of all vectors."""
    balanced: Gauged
    """Each vector as long as its partner row."""


class LocalizerRow(TypedDict):
    """One localizer's region; scores only where there is a target to find."""

    localizer: str
    privileges: list[str]
    """What it is told that a real localizer would not know."""
    precision: NotRequired[float | None]
    recall: NotRequired[float | None]
    by_layer: NotRequired[list[LayerOverlap]]
    auc: NotRequired[float | None]
    """See `Ranking`: of localizers that rank value vectors against a region of value vectors."""
    average_precision: NotRequired[float | None]
    swap: NotRequired[SwapRecord]
    """Where the study asks for transplants."""
    gauge: NotRequired[GaugeRecord]
    """Where it asks for rescalings."""


class LocalizedPlace(TypedDict):
    """What a stage found regions for."""

    seed: int
    ratio: float
    """Size of the regions: as the target's."""
    region: NotRequired[int]
    """Which of its seed's random regions, from 2; absent: the first, or found otherwise."""


@final
class LocalizedSummary(LocalizedPlace):
    """All localizers of one stage."""

    localizers: list[LocalizerRow]


class LocalizerSummary(LocalizerRow, LocalizedPlace):
    """One localizer's part of a `LocalizedSummary`, as a report reads it."""


class LocalizationRecord(TypedDict):
    """How well a trial found where the facts were planted."""

    region: Overlap | None
    """The region that it was allowed to change; None for all parameters."""
    change: Overlap | None
    """What it changed most, as many as the target has; None where nothing moved."""


Tops = TypedDict(
    "Tops",
    {
        "auc": float | None,
        "auc_error": float | None,
        "0.1%": float,
        "1%": float,
        "5%": float,
        "10%": float,
        "at_size": float,
        "precision_error": float,
        "noise_auc": float | None,
        "noise_auc_error": float | None,
        "noise_0.1%": float,
        "noise_1%": float,
        "noise_5%": float,
        "noise_10%": float,
        "noise_at_size": float,
        "noise_precision_error": float,
        "random_auc": float | None,
        "random_auc_error": float | None,
        "random_0.1%": float,
        "random_1%": float,
        "random_5%": float,
        "random_10%": float,
        "random_at_size": float,
        "random_precision_error": float,
        "magnitude_auc": float | None,
        "magnitude_auc_error": float | None,
        "magnitude_0.1%": float,
        "magnitude_1%": float,
        "magnitude_5%": float,
        "magnitude_10%": float,
        "magnitude_at_size": float,
        "magnitude_precision_error": float,
    },
)
"""AUC, and precision among the weights with the highest scores (`at_size`: as many as the truth
has), each with its largest error: of the update, and of the nulls that know nothing."""


class PrecisionScore(Tops):
    """One score of single weights against one truth."""

    truth: str
    score: str
    headline: bool
    """Whether it is the score that was fixed beforehand."""
    chance: float
    """Share of the scored weights that are true."""


class BestScore(TypedDict):
    """The highest AUC of all scores against one truth; all None where the truth is one class."""

    truth: str
    score: str | None
    auc: float | None
    of_scores: NotRequired[int]
    """Scores that it is the highest of."""
    noise_auc: NotRequired[float]
    random_auc: NotRequired[float]
    magnitude_auc: NotRequired[float | None]


class ChangedInside(TypedDict):
    """The changed weights as a set, against one truth."""

    truth: str
    share: float
    """Of the scored weights that are true."""
    weights: int
    """True weights."""
    changed: int
    changed_inside: int
    precision: float | None
    recall: float | None
    energy_inside: float | None
    """Share of the squared change that lies inside."""


class TensorArea(TypedDict):
    """AUC of the headline score within one tensor; None where it holds one class."""

    truth: str
    tensor: str
    layer: int | None
    component: str
    auc: float | None
    noise_auc: float | None
    random_auc: float | None


class RoundedArea(TypedDict):
    """AUC against one truth once both checkpoints are rounded to fewer bits."""

    truth: str
    auc: float | None
    auc_error: float | None
    changed: int
    """Weights that still differ."""
    recall: float | None
    """Share of the truth's weights that still differ."""


class PrecisionRecord(TypedDict):
    """Whether the weights that an update moved lie inside the true regions."""

    headline: str
    """The score that was fixed beforehand."""
    scored_weights: int
    scored_tensors: int
    exact: bool
    """Whether AUCs are exact; otherwise they come from histograms with a stated error."""
    scores: list[PrecisionScore]
    best: list[BestScore]
    inside: list[ChangedInside]
    tensors: list[TensorArea]
    bfloat16: NotRequired[list[RoundedArea]]
    """The same after rounding to bfloat16 (trials only)."""
