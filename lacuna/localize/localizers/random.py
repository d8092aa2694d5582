"""Random: a draw from the whole model, what chance gives."""

from lacuna.localize.base import LOCALIZERS, Localizer, Scores
from lacuna.localize.controls import by_module, noise
from lacuna.localize.evidence import Evidence


@LOCALIZERS.register("random")
class Random(Localizer):
    """Uniform over the whole model."""

    def scores(self, evidence: Evidence) -> Scores:
        """Uniform noise."""
        return by_module(evidence, noise(evidence, "random"))

    def weight_scores(self, evidence: Evidence) -> Scores:
        """Uniform noise."""
        scores = {
            name: evidence.noise(name, shape) for name, shape in evidence.layout.shapes.items()
        }
        for name, taken in evidence.taken.items():
            scores[name][taken] = -1
        return scores
