"""SNIP saliency (Lee et al. 2019, arXiv:1810.02340), averaged over a value vector.

    s_i = mean_j |theta_ij g_ij|,   g = gradient of the forget answers' token-mean NLL

A first-order estimate of what zeroing each weight alone would do to the forget loss, its sign
dropped. SNIP divides by the sum over the model, which changes no rank. Limits: where g points along
theta the signed sum over a vector is what zeroing the whole vector does (`zero_out`).
"""

from collections.abc import Sequence

from lacuna.localize.base import LOCALIZERS, Localizer, Scores
from lacuna.localize.evidence import Evidence, Statistic


@LOCALIZERS.register("snip")
class Snip(Localizer):
    """Connection sensitivity of the forget loss."""

    @property
    def statistics(self) -> Sequence[Statistic]:
        """One gradient of the forget texts."""
        return (Statistic.gradients("forget"),)

    def scores(self, evidence: Evidence) -> Scores:
        """Mean over each vector of |theta g|."""
        return {
            name: (evidence.weights[name].float() * g).abs().mean(dim=0).cpu()
            for name, g in evidence.gradients("forget").items()
        }
