"""Complement: a draw from outside the target region (Lee et al. 2025, section 4: Random)."""

from typing import ClassVar

from lacuna.errors import UserError
from lacuna.localize.base import LOCALIZERS, Localizer, Scores
from lacuna.localize.controls import by_module, noise, target
from lacuna.localize.evidence import TARGET, Evidence


@LOCALIZERS.register("complement")
class Complement(Localizer):
    """Uniform over everything but the target region."""

    privileges: ClassVar[tuple[str, ...]] = (TARGET,)

    def scores(self, evidence: Evidence) -> Scores:
        """Uniform noise outside the target region, -1 inside; refuses a region above one half."""
        inside = target(evidence)
        if inside.fraction > 0.5:
            raise UserError(
                f"region.ratio={inside.fraction:.3g} leaves no room for as large a region outside "
                f"it: use at most 0.5"
            )
        score = noise(evidence, "complement")
        score[inside.flat()] = -1
        return by_module(evidence, score)
