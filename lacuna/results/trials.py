"""Trials and controls: mixing curves, inspections, attacks."""

from collections.abc import Sequence
from typing import Literal, NotRequired, final

from typing_extensions import TypedDict

from lacuna.results.localization import LocalizationRecord, PrecisionRecord
from lacuna.results.models import Ends, MetricMeans


class StrengthCurveRecord(TypedDict):
    """Strengths at each mixing weight."""

    fs: list[float]
    """Forget strength: 1 - mean extraction strength on forget."""
    rs: list[float]
    """Retain strength: mean extraction strength on retain."""


class FullCurveRecord(StrengthCurveRecord):
    """All that a test trial measures at each mixing weight."""

    mu: list[float]
    """Model utility."""
    fq: list[float] | None
    """Forget quality, log10 p; None for data without wrong answers."""
    forget_em: list[float | None]
    """Mean exact memorisation of the forget answers."""
    forget_prob: list[float | None]
    """Mean probability of the forget answers."""


class Mu95Record(TypedDict):
    """Forget quality where model utility has fallen to 95% of its start."""

    value: float
    """log10 p, at the threshold or at the nearest utility reached."""
    crossed: bool
    """Whether utility fell to 95%."""


class UtilityRecord(TypedDict):
    """One set's part in model utility, in [0, 1]; None: the set cannot have it."""

    probability: float | None
    rouge: float | None
    truth_ratio: float | None


class MembershipRecord(TypedDict):
    """Membership attacks: forget questions (members) against those of people never injected."""

    n_members: int
    n_nonmembers: int
    auc: dict[str, float | None]
    """Attack -> area under its ROC curve; 1/2: nobody can tell."""
    privleak: float | None
    """Percent; 0 at the retained model, negative where facts are left."""


class LayerStates(TypedDict):
    """Hidden states of one layer, where answers begin."""

    layer: int
    knn: float | None
    """Share of forget answers whose first token a nearest-neighbour probe reads off the state."""
    linear: float | None
    """The same of a linear probe."""
    lens_es: float | None
    """Extraction strength if the layer were the last."""
    lens_probability: float | None
    """Probability of the answer if the layer were the last."""
    cka_forget_retained: NotRequired[float | None]
    """Similarity (linear CKA) to the retained model's states, on forget questions."""
    cka_retain_retained: NotRequired[float | None]
    cka_forget_injected: NotRequired[float | None]
    cka_retain_injected: NotRequired[float | None]
    cka_forget_before: NotRequired[float | None]
    """In audits: to the checkpoint before unlearning."""
    cka_retain_before: NotRequired[float | None]


class RepresentationsRecord(TypedDict):
    """Hidden states, layer by layer."""

    layers: list[LayerStates]
    lens_gap: float | None
    """Mean over facts of the best earlier layer's probability minus the last one's."""


class LayerDepth(TypedDict):
    """What one layer of the injected model is worth to the facts, nats per token."""

    layer: int
    held: float | None
    """Mean loss of log-probability to the retained model's layer."""
    lost: float | None
    """The same to the layer of the model that is looked at."""


class DepthRecord(TypedDict):
    """Unlearning Depth Score (arXiv:2605.24614)."""

    score: float | None
    """Mean over facts: 1 where layers have lost the facts as the retained model's, 0 where they
    hold them as the injected model's."""
    facts: int
    """Facts that some layer of the injected model holds."""
    layers: list[LayerDepth]


class InspectionRecords(TypedDict):
    """What is measured besides answers, where the study asks for it."""

    membership: NotRequired[MembershipRecord]
    representations: NotRequired[RepresentationsRecord]
    depth: NotRequired[DepthRecord]


class TransplantRecord(TypedDict):
    """Mean forget ES after the target region was exchanged between models, at alpha = 1."""

    own_es: float
    """Of the model itself."""
    restored_es: float
    """Of the model, the target region put back to its injected values."""
    control_es: float
    """Of the model, as many weights outside the target put back to their injected values."""
    stored_es: float
    """Of the retained model with the model's own values in the target region."""
    floor_es: float
    """Of the retained model."""
    ceiling_es: float
    """Of the injected model."""


class AttackRecord(TypedDict):
    """One attack on one model; `others` are the forget facts that it did not train on."""

    attack: str
    lr: float | None
    n_attacked: int
    """Forget questions that the attacker trained on."""
    n_others: int
    """Forget questions measured."""
    attacked_es_after: float | None
    """Extraction strength of the attacked; None where nobody was trained on."""
    others_es_before: float
    others_es_after: float
    others_logp_before: float
    """Mean log-probability, nats per token."""
    others_logp_after: float
    k: int | None
    """Prompts per fact, at most, of the leaked sets; None where none was asked."""
    leaked_before: Sequence[str] | None
    """The others' facts that any of k prompts brought out."""
    leaked_after: Sequence[str] | None
    leaked_overlap: float | None
    """Jaccard index of the two sets; None where both are empty."""
    success_before: float | None
    """Success@k: share of the others' facts in the leaked set."""
    success_after: float | None
    start_level: NotRequired[float | None]
    """Forget level that a matched start was looked for at; None: the model as it was given."""
    start_alpha: float | None
    """Mixing weight of the matched start."""
    start_es: float | None
    """Forget extraction strength of the matched start."""
    start_retain_es: float | None
    only_before: NotRequired[int | None]
    """Facts told whole in the usual wording alone; only of attacks that reword."""
    only_after: NotRequired[int | None]
    """Facts told whole in the attacker's wording alone."""
    wording_p: NotRequired[float | None]
    """McNemar's test of the two, two-sided."""


class TrialPlace(TypedDict):
    """Which trial it is."""

    objective: str
    """With its wrappers: `npo+sam`."""
    scenario: str
    """`oracle`, `full`, or the localizer that the region comes from."""
    seed: int
    ratio: float
    lr: float
    region: NotRequired[int]
    """Which of its seed's random regions, from 2; absent: the first, or another scenario."""


class CurveEnds(TypedDict):
    """The mixing curve of any trial, in numbers."""

    alphas: list[float]
    """Mixing weights, from 0 (injected) to 1 (unlearned)."""
    aues: float
    """Area under the FS-RS curve."""
    fs_end: float
    """Forget strength at alpha = 1."""
    rs_end: float
    """Retain strength at alpha = 1."""


class StrengthSummary(CurveEnds):
    """What a search trial measures."""

    curve: StrengthCurveRecord


class CurveSummary(CurveEnds):
    """What a test trial measures along the mixing curve. A alphas, I items."""

    curve: FullCurveRecord
    es_forget: list[list[float]]
    """(A, I) extraction strength of each forget question."""
    es_retain: list[list[float]]
    people_forget: list[str]
    """(I,) the person each question is about."""
    people_retain: list[str]
    mu95: Mu95Record | None
    """None for data without wrong answers."""
    metrics: NotRequired[MetricMeans]
    """At alpha = 1."""
    utility_sets: dict[str, UtilityRecord]
    """At alpha = 1."""


class UpdateLocation(TypedDict):
    """Where a trial changed the model, against the region that facts were planted in."""

    localization: LocalizationRecord | None
    """None where the facts were learned by all parameters."""
    precision: NotRequired[PrecisionRecord]
    """Where regions are single weights."""


@final
class SearchSummary(TrialPlace, StrengthSummary):
    """A trial on a tuning seed."""

    purpose: Literal["search"]


@final
class TrialSummary(TrialPlace, CurveSummary, InspectionRecords, UpdateLocation):
    """A trial that is reported."""

    purpose: Literal["test"]
    paraphrase_es_end: float | None
    """Extraction strength on wordings never trained on, at alpha = 1."""
    attacks: list[AttackRecord]
    transplant: NotRequired[TransplantRecord]
    """Where the study asks for it and facts were planted in a region."""


@final
class ControlSummary(Ends, InspectionRecords):
    """The attacks on a model that was not unlearned."""

    model: str
    """`base`, `retained` or `injected`."""
    seed: int
    fq: float | None
    """Forget quality, log10 p."""
    attacks: list[AttackRecord]
    transplants: NotRequired[dict[str, TransplantRecord]]
    """At the injected model: its own (`injected`), and the retained model's (`retained`)."""
