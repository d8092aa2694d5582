"""Random: a draw from the whole model, what chance gives."""

import torch

from lacuna.localize.base import LOCALIZERS, Localizer, Scores
from lacuna.localize.controls import by_module, noise
from lacuna.localize.evidence import Evidence
from lacuna.seeds import torch_generator


@LOCALIZERS.register("random")
class Random(Localizer):
    """Uniform over the whole model."""

    def scores(self, evidence: Evidence) -> Scores:
        """Uniform noise."""
        return by_module(evidence, noise(evidence, "random"))

    def weight_scores(self, evidence: Evidence) -> Scores:
        """Uniform noise."""
        return {
            name: torch.rand(shape, generator=torch_generator(evidence.seed, "localize", name))
            for name, shape in evidence.layout.shapes.items()
        }
