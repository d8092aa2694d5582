"""Drift: how far injection moved each value vector, which needs the retained model."""

from typing import ClassVar

from lacuna.localize.base import LOCALIZERS, Localizer, Scores
from lacuna.localize.evidence import RETAINED, Evidence
from lacuna.model.value import value_modules


@LOCALIZERS.register("drift")
class Drift(Localizer):
    """Distance of each value vector from the retained model's."""

    privileges: ClassVar[tuple[str, ...]] = (RETAINED,)

    def scores(self, evidence: Evidence) -> Scores:
        """L2 distance per vector."""
        assert evidence.retained is not None, "drift needs the retained model"
        before = value_modules(evidence.retained)
        return {
            name: (weight.float() - before[name].weight.to(weight.device).float()).norm(dim=0).cpu()
            for name, weight in evidence.weights.items()
        }
