"""Dose: a region as large as the target of which a share is the target's, to see what it is worth.

With t value vectors in the target region and a share s:

    inside    the first round(s t) of the target region in an order drawn once a seed
    outside   the first t - round(s t) of scenario `random`'s first region, in its own order

So the doses of a seed are nested: what a smaller one has inside, a larger one has too, and what a
larger one has outside, a smaller one has too. Dose 0 would be the region of `random`, dose 1 that
of `oracle`. Single weights (protocol `lacuna`) are drawn so in every tensor, by `draw_partly`.
"""

from typing import ClassVar

from lacuna.errors import UserError
from lacuna.localize.base import LOCALIZERS, Localizer, Scores
from lacuna.localize.controls import by_module, noise, target
from lacuna.localize.evidence import TARGET, Evidence


class Dose(Localizer):
    """A region that holds a fixed share of the target; subclasses say which."""

    privileges: ClassVar[tuple[str, ...]] = (TARGET,)
    surveyed: ClassVar[bool] = False
    share: ClassVar[float]

    def scores(self, evidence: Evidence) -> Scores:
        """1 for what it takes of the target, -1 for the rest; outside that, noise as `complement`.

        The best as many as the target has are the dose. Refuses a region for which the outside is
        too small.
        """
        inside = target(evidence)
        held, size = inside.flat(), len(inside)
        kept = round(self.share * size)
        if size - kept > len(held) - size:
            raise UserError(
                f"region.ratio={inside.fraction:.3g} leaves no room for {size - kept} vectors "
                f"outside it: use at most 0.5"
            )
        score = noise(evidence, "complement")
        order = evidence.noise("dose", (size,)).argsort(descending=True, stable=True)
        score[held] = -1
        score[held.nonzero()[order[:kept], 0]] = 1
        return by_module(evidence, score)


@LOCALIZERS.register("dose25")
class Dose25(Dose):
    """A quarter of its region is the target's, the rest lies outside it."""

    share = 0.25


@LOCALIZERS.register("dose50")
class Dose50(Dose):
    """Half of its region is the target's, the rest lies outside it."""

    share = 0.5


@LOCALIZERS.register("dose75")
class Dose75(Dose):
    """Three quarters of its region are the target's, the rest lies outside it."""

    share = 0.75


DOSES = {"dose25": Dose25.share, "dose50": Dose50.share, "dose75": Dose75.share}
"""Localizer -> the share of the target in its region."""
