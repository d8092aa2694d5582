"""What an audit of two checkpoints finds: audit.json."""

from typing_extensions import TypedDict

from lacuna.results.localization import LayerOverlap, PrecisionRecord
from lacuna.results.trials import AttackRecord, LayerStates


class CheckpointRow(TypedDict):
    """One of the checkpoints."""

    checkpoint: str
    """`before`, `after` or `base`."""
    folder: str
    architecture: str
    weights: int
    tensors: int
    files: int
    stored_as: list[str]
    """Types of the weights on disk."""


class ChangeRecord(TypedDict):
    """How far weights moved, later minus earlier, in float32."""

    weights: int
    changed: int
    """Weights that differ by 2^-135 or more."""
    changed_share: float
    distance: float
    """Euclidean."""
    rms: float
    """Root mean square over all weights."""
    largest: float
    relative: float | None
    """Against the earlier weights, root mean squares; None where those are all zero."""
    effective_fraction: float | None
    """k/n where k of n weights moved equally far; None where nothing moved."""
    gini: float | None
    """Inequality of the changes: 0 where all moved equally far, near 1 where few did."""


class PairChange(ChangeRecord):
    """The change between two checkpoints."""

    pair: str
    """`before to after`, `base to before` or `base to after`."""


class LayerChange(ChangeRecord):
    """The change of one layer, before to after."""

    layer: int


class ComponentChange(ChangeRecord):
    """The change of one kind of tensor in all layers, before to after."""

    component: str


class TensorChange(ChangeRecord):
    """The change of one tensor, before to after."""

    tensor: str


class MovedVector(TypedDict):
    """One value vector that moved."""

    module: str
    """The MLP output matrix that it is a column of."""
    column: int
    distance: float
    share_of_square: float
    """Of the squared change of all value vectors."""


class VectorChange(TypedDict):
    """How far value vectors moved."""

    vectors: int
    changed: int
    effective_fraction: float | None
    """As in `ChangeRecord`, over vectors."""
    gini: float | None
    furthest: list[MovedVector]
    """Those that moved furthest, in order."""


class VectorOverlap(TypedDict):
    """The value vectors that moved furthest, as many as a region has, against that region."""

    precision: float | None
    recall: float | None
    by_layer: list[LayerOverlap]
    auc: float | None
    """Of the distance as a score."""
    average_precision: float | None


class LeftOut(TypedDict):
    """Tensors of a checkpoint's files that were not compared."""

    checkpoint: str
    why: str
    """`buffers`, which the architecture computes, or `unequal tied copies`."""
    tensors: list[str]


class WeightsRecord(TypedDict):
    """What the weights say."""

    checkpoints: list[CheckpointRow]
    differing_files: list[str]
    """Files that are not weights and are not the same in both folders."""
    left_out: list[LeftOut]
    unsupported: str | None
    """Why value vectors are not known; None where they are."""
    changes: list[PairChange]
    layers: list[LayerChange]
    components: list[ComponentChange]
    tensors: list[TensorChange]
    vectors: VectorChange | None
    """None where the architecture has no value vectors."""
    precision: PrecisionRecord | None
    """None without a true region."""
    overlap: dict[str, VectorOverlap | None]
    """Region of value vectors -> what of it moved; None where nothing moved."""


class OutputRow(TypedDict):
    """What one model says: means over questions."""

    model: str
    forget_es: float
    forget_em: float
    """Exact memorisation."""
    forget_probability: float
    retain_es: float
    retain_em: float
    retain_probability: float
    forget_rouge: float | None
    """None where no answer has a word."""
    """ROUGE-L recall of greedy answers."""
    retain_rouge: float | None
    utility: float


class GapRow(TypedDict):
    """What one model's best earlier layer has above its last; None where it is not defined."""

    model: str
    lens_gap: float | None
    """Of the logit lens, in probability."""
    knn_gap: float | None
    """Of the nearest-neighbour probe, in accuracy."""
    linear_gap: float | None
    """Of the linear probe, in accuracy."""


class ModelLayer(LayerStates):
    """One layer of one model."""

    model: str


class ModelAttack(AttackRecord):
    """One attack on one model."""

    model: str


class BehaviourRecord(TypedDict):
    """What the models say and hide."""

    outputs: list[OutputRow]
    gaps: list[GapRow]
    layers: list[ModelLayer]
    attacks: list[ModelAttack]


class AuditRecord(WeightsRecord):
    """All that an audit finds."""

    behaviour: BehaviourRecord | None
    """None without questions to ask, or where they could not be asked."""
    missing: str | None
    """Why a part that was asked for is not there; None where all is."""
    findings: list[str]
    """In sentences, most important first."""
