"""Random within layers: a draw with as many vectors from each layer as the target region has."""

from dataclasses import dataclass
from typing import ClassVar

from lacuna.localize.base import LOCALIZERS, Localizer, LocalizerConfig, Scores
from lacuna.localize.controls import by_module, noise, target
from lacuna.localize.evidence import TARGET, Evidence


@LOCALIZERS.register("random_layers")
class RandomLayers(Localizer):
    """Uniform within each layer, with the target region's number of vectors in every layer."""

    privileges: ClassVar[tuple[str, ...]] = (TARGET,)

    @dataclass(frozen=True, kw_only=True)
    class Config(LocalizerConfig):
        """Takes the target region's number of vectors in each layer."""

        scope: str = "matched"
        """Take from each layer as many vectors as the target region has there (`matched`)."""

    def scores(self, evidence: Evidence) -> Scores:
        """Uniform noise."""
        target(evidence)  # refused where there is none
        return by_module(evidence, noise(evidence, "random layers"))
