r"""Activations (Chang et al. 2024, as reformulated by Lee et al. 2025, appendix C).

s_i = mean_x (1/T_x) sum_t |h_i(t)| |v_i|      over the T_x tokens of each forget answer x,
divided by the layer's sum (`normalise=sum`), then ranked over the whole model. Chang et al. rank
within each layer instead (`scope=layer`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lacuna.localize.base import LOCALIZERS, Localizer, LocalizerConfig, Scores
from lacuna.localize.evidence import Evidence, Statistic


@LOCALIZERS.register("activations")
class Activations(Localizer):
    """How much each neuron writes into the stream at the forget answers' tokens."""

    revision = 2

    @dataclass(frozen=True, kw_only=True)
    class Config(LocalizerConfig):
        """Selection of Lee et al."""

        normalise: str = "sum"
        """Divide scores by the layer's sum (`sum`), as Lee et al. do; see the common options for
        others."""

    @property
    def statistics(self) -> Sequence[Statistic]:
        """One reading of the forget texts."""
        return (Statistic.activations(),)

    def scores(self, evidence: Evidence) -> Scores:
        """Mean contribution per vector."""
        return {name: h * evidence.norms[name] for name, h in evidence.activations.items()}
