"""What a localizer sees, and what it must give: a score for every value vector.

Scoring and selecting are apart (`lacuna.region.top`), so every score meets every budget.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from lacuna.localize.evidence import Evidence
from lacuna.region import Region, Scope, top
from lacuna.registry import Registry

Scores = Mapping[str, Tensor]
"""Module name -> (d_ff,) score, higher is more likely to hold the forget facts."""


@dataclass(frozen=True, kw_only=True)
class LocalizerConfig:
    """What every localizer takes."""

    scope: str = "global"
    """Rank over the whole model (`global`) or take an equal share of each layer (`layer`)."""


class Localizer:
    """Base class: subclasses define `Config` and `scores`."""

    Config: ClassVar[type[LocalizerConfig]] = LocalizerConfig
    privileges: ClassVar[tuple[str, ...]] = ()
    """What it is told that a real method could not know: `target region`, `retained model`."""

    def __init__(self, config: LocalizerConfig) -> None:
        self.config = config

    def scores(self, evidence: Evidence) -> Scores:
        """Score every value vector of the injected model."""
        raise NotImplementedError


LOCALIZERS: Registry[type[Localizer]] = Registry("localizer")


def localize(
    evidence: Evidence, localizers: Sequence[tuple[str, Localizer]], count: int
) -> dict[str, Region]:
    """The `count` best vectors by each localizer; gradient passes are shared between them."""
    regions = {}
    for name, localizer in localizers:
        scope: Scope = "layer" if localizer.config.scope == "layer" else "global"
        found = top(evidence.layout, localizer.scores(evidence), count, scope=scope)
        regions[name] = Region(found.layout, found.columns, {"localizer": name})
    return regions
