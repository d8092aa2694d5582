"""Oracle: the target region itself, the upper bound that only this testbed can grant."""

from typing import ClassVar

from lacuna.localize.base import LOCALIZERS, Localizer, Scores
from lacuna.localize.controls import by_module, target
from lacuna.localize.evidence import TARGET, Evidence


@LOCALIZERS.register("oracle")
class Oracle(Localizer):
    """Knows the target region."""

    privileges: ClassVar[tuple[str, ...]] = (TARGET,)

    def scores(self, evidence: Evidence) -> Scores:
        """1 inside the target region, 0 outside."""
        return by_module(evidence, target(evidence).flat().float())
