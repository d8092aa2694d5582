"""What a report is made from: the stages of a study, what was compared, and the margins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lacuna.results import Asked, ChoiceRecord, Registration, Row, ScenarioComparison

FLOOR = 0.25
"""The gold standards of all shipped studies stay below a tenth; a quarter of the facts known, or a
quarter of each, takes the meaning from every comparison with them."""


@dataclass(frozen=True)
class Margins:
    """Differences too small to matter, fixed before any result: half-widths around zero."""

    matched: float = 0.005
    """AUES to equal depth. Lee et al. print differences of AUES of .004 to .018 (Table 2): a margin
    near the smallest of them can refute effects of their size, one of .02 could not."""
    depth: float = 0.02
    """RS at equal depth: one fact in fifty kept more."""
    aues: float = 0.02
    """Area under the FS-RS curve, as published: above every difference that Table 2 prints."""
    mu95: float = 1.0
    """log10 p."""
    es: float = 0.02
    """Mean extraction strength of the people an attack did not train on."""
    logp: float = 0.1
    """Their mean log-probability, nats per token."""
    precision: float = 0.05
    """Precision of a localizer above or below chance."""
    auc: float = 0.01
    """ROC-AUC of where weights moved, above or below 1/2 or its null."""
    success: float = 0.05
    """Success@k: share of facts that any of k prompts brings out."""
    stored: float = 0.5
    """Share of what was planted that the target region no longer holds. Any step inside the region
    takes something from it, so a margin near 0 would call every method an eraser; with less than
    half taken out, most of what is no longer said is still in its place."""


@dataclass(frozen=True)
class Results:
    """Everything `render` needs, as plain JSON values; it reads no checkpoint and no server."""

    study: str
    config: Mapping[str, Any]
    """Resolved configuration, shown in the page only."""
    stages: Sequence[Row]
    """A row per stage; of one that ran several localizers, a row for each."""
    comparisons: Sequence[ScenarioComparison] = ()
    """Every other scenario against `random`: a difference is a minus b."""
    choices: Sequence[ChoiceRecord] = ()
    """The learning rate of every cell."""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Per stage kind: "planned", "reused", "trained"."""
    tracking_uri: str | None = None
    margins: Margins = field(default_factory=Margins)
    start: float | None = None
    """Forget level of the matched start that decides claims on attacks; None: the own start."""
    registration: Registration | None = None
    """The plan that claims are held to; None: none was registered."""
    asked: Sequence[Asked] = ()
    """What was asked on each test seed; empty: not known."""
    named: bool = False
    """Whether people are named even where they may be persons."""
    floor: float = FLOOR
    """Forget ES above which a retained or base model is said to know the facts."""
