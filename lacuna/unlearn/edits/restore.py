"""Restore: write the retained model's values into the region (the oracle edit).

    theta_M <- theta_M + s (theta_M^r - theta_M),   s = the learning rate (1: exactly theta^r)

Inside the true region and at s = 1 this undoes injection bit by bit: the best that any method
confined to that region can reach, and proof that injection did not leak. At any s it is the
negation of injection's own task vector, s (theta^o - theta^r). A diagnostic: no real unlearner has
the retained model. Limits: in a region that injection never touched it is the identity.
"""

from typing import ClassVar

from lacuna.train import Values
from lacuna.unlearn.base import OBJECTIVES, require_same_shape
from lacuna.unlearn.edits.base import Edit, EditInputs


@OBJECTIVES.register("restore")
class Restore(Edit):
    """Put back what was there before the facts."""

    needs_retained: ClassVar[bool] = True

    def apply(self, given: EditInputs) -> Values:
        """The retained model's values; refuses one of another shape."""
        assert given.retained is not None
        require_same_shape(given.model, given.retained)
        return given.weights.read(given.retained)
