"""Norm-only baseline: the length of each value vector.

No data at all. Injection lengthens vectors where a norm follows the MLP (OLMo-2), so this finds the
target region by its residue, not by its knowledge. Read every other localizer beside it (docs/log).
"""

from lacuna.localize.base import LOCALIZERS, Localizer, Scores
from lacuna.localize.evidence import Evidence


@LOCALIZERS.register("norm")
class Norm(Localizer):
    """Ranks by |v_i|."""

    def scores(self, evidence: Evidence) -> Scores:
        """L2 norm of each value vector."""
        return evidence.norms
