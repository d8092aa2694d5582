r"""Activations (Chang et al. 2024, as reformulated by Lee et al. 2025, appendix C).

s_i = (1/T) sum_t |h_i(t)| |v_i|      over the forget answers' tokens,
divided by the layer's sum, then ranked over the whole model.
"""

from lacuna.localize.base import LOCALIZERS, Localizer, Scores
from lacuna.localize.evidence import Evidence


@LOCALIZERS.register("activations")
class Activations(Localizer):
    """How much each neuron writes while the facts are told."""

    def scores(self, evidence: Evidence) -> Scores:
        """Mean contribution per vector, as a share of its layer."""
        written = {name: h * evidence.norms[name] for name, h in evidence.activations.items()}
        return {name: score / score.sum() for name, score in written.items()}
