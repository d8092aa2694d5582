"""Gradient norm: the length of the forget loss's gradient with respect to each value vector.

    s_i = |g_i|_2,   g = gradient of the forget answers' token-mean NLL

The plainest gradient score, as in the baselines of WAGLE (Jia et al. 2024, arXiv:2410.17509).
Limits: facts that the model tells with certainty have almost no gradient left; what remains is
where they are told with least.
"""

from collections.abc import Sequence

from lacuna.localize.base import LOCALIZERS, Localizer, Scores
from lacuna.localize.evidence import Evidence, Statistic


@LOCALIZERS.register("gradient")
class Gradient(Localizer):
    """Ranks by the length of the forget loss's gradient."""

    @property
    def statistics(self) -> Sequence[Statistic]:
        """One gradient of the forget texts."""
        return (Statistic.gradients("forget"),)

    def scores(self, evidence: Evidence) -> Scores:
        """L2 norm of the mean forget gradient per vector."""
        return {name: g.norm(dim=0).cpu() for name, g in evidence.gradients("forget").items()}
