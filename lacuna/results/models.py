"""The models of a study: base, retained, and injected with the checks that planting must pass."""

from typing import NotRequired, final

from typing_extensions import TypedDict

MetricMeans = dict[str, dict[str, float | None]]
"""Split (`forget`, `retain`) -> metric of `lacuna.evaluate.METRICS` -> mean over the questions."""


class Ends(TypedDict):
    """One model's strengths and utility."""

    forget_es: float
    """Mean extraction strength over the forget questions."""
    retain_es: float
    """Mean extraction strength over the retain questions."""
    paraphrase_es: float | None
    """Mean extraction strength over forget questions in wordings never trained on."""
    mu: float
    """Model utility (TOFU): harmonic mean over the utility sets."""
    metrics: NotRequired[MetricMeans]


class ModelEnds(Ends, closed=True):
    """The same and nothing else."""


@final
class BaseSummary(TypedDict):
    """The base model: a pointer to the hub, or the embedded model, trained."""

    source: NotRequired[str]
    """Hub name or folder."""
    revision: NotRequired[str | None]
    """Commit or tag on the hub."""
    seed: NotRequired[int]
    steps: NotRequired[int]
    """Optimizer steps that were made."""
    loss_end: NotRequired[float | None]
    """Training loss at the last step."""


@final
class RetainedSummary(Ends):
    """The model that never saw the forget facts."""

    seed: int
    steps: int
    """Optimizer steps that were made."""
    loss_end: float | None
    """Training loss at the last step."""
    ratio: NotRequired[float]
    """Share of the weights that each group's mask has."""
    groups: NotRequired[dict[str, int]]
    """Person -> group whose mask holds the person's facts."""


class LeakCheck(TypedDict):
    """With the region put back, an injected model must know what the retained model knows."""

    forget_es_restored: float
    """Of the injected model, its region's values put back."""
    forget_es_retained: float
    """Of the retained model."""
    passed: bool


class JointAblation(TypedDict):
    """All masks of one side put back to base together."""

    own: float
    """Extraction strength of this side's groups."""
    others: float | None
    """Share of their strength that the other side's groups keep."""


class CausalReport(TypedDict):
    """Whether each group's mask holds its facts. Lists are in the order of the groups."""

    injected: dict[str, float]
    """Group -> extraction strength after injection."""
    own: list[float]
    """Strength of a group whose own mask is put back to base."""
    others: list[float | None]
    """Mean share of their strength that the other groups keep then."""
    joint: dict[str, JointAblation]
    """Side (`forget`, `retain`) -> its masks put back together."""
    perturbed: list[float | None]
    """Mean share that all groups keep when a group's change, shuffled, is added to as many weights
    outside all masks."""
    neutral: dict[str, float]
    """Model (`base`, `injected`) -> loss on neutral text never trained on."""
    people: dict[str, float | None]
    """Model (`base`, `injected`) -> strength of people that the base model knew."""
    failures: list[str]
    """Each threshold that was missed, with both numbers."""
    passed: bool
    label: str
    """What stands beside numbers of this checkpoint."""


class Memorised(TypedDict):
    """How many facts of one field an injected model recites."""

    facts: int
    memorised: int
    share: float


class SplitsRecord(TypedDict, total=False, closed=True):
    """What an injected model recites, and the splits drawn from it; empty where texts come once."""

    memorised: dict[str, Memorised]
    """Field -> how many of its facts."""
    splits: dict[str, dict[str, int]]
    """Split -> number of questions on each side."""


@final
class InjectedSummary(Ends):
    """The model that knows the forget facts, with the checks that its protocol makes."""

    seed: int
    steps: int
    """Optimizer steps that were made."""
    ratio: NotRequired[float]
    """Share of the target region: of all value vectors, or of all weights for each mask."""
    loss_end: NotRequired[float | None]
    """Training loss at the last step."""
    region_vectors: NotRequired[int]
    """Value vectors of the target region (protocol `lee`)."""
    region_weights: NotRequired[int]
    """Weights of the forget groups' masks (protocol `lacuna`)."""
    outside_equal: NotRequired[bool]
    """Whether all values outside the region are bit-identical to those before injection."""
    leak: NotRequired[LeakCheck]
    plain_forget_es: NotRequired[float]
    """Of a camouflaged model, before its vectors got other lengths; `outside_equal` and `leak` are
    then of value vectors and partner rows together."""
    causal: NotRequired[CausalReport]
    groups: NotRequired[dict[str, int]]
    """Person -> group whose mask holds the person's facts."""
    memorised: NotRequired[dict[str, Memorised]]
    """See `SplitsRecord`."""
    splits: NotRequired[dict[str, dict[str, int]]]
