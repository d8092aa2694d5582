"""Norm, gauge-fixed: the length of each value vector where it is as long as its partner row.

The length alone depends on how a model is written down (docs/gauge.md); the geometric mean of the
two lengths does not, and is the length in the gauge that makes them equal. For gated MLPs.
"""

from typing import ClassVar

from lacuna.localize.base import LOCALIZERS, Localizer, Scores
from lacuna.localize.evidence import Evidence
from lacuna.region.gauge import partner_rows


@LOCALIZERS.register("balanced_norm")
class BalancedNorm(Localizer):
    """Ranks by sqrt(|v_i| |u_i|)."""

    surveyed: ClassVar[bool] = False
    """A study names it: not every architecture has it."""

    def scores(self, evidence: Evidence) -> Scores:
        """Geometric mean of the lengths of value vector and partner row.

        Raises `UserError` where an MLP has no gate.
        """
        rows = partner_rows(evidence.model)
        return {
            name: (norm * rows[name][0].float().norm(dim=1).cpu()).sqrt()
            for name, norm in evidence.norms.items()
        }
