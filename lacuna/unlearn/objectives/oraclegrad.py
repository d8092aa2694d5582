r"""OracleGrad (LACUNA, arXiv:2607.02513): gradient difference with LACUNA's weights.

    L = gamma mean_t log p(y_t | forget) + alpha mean_t -log p(y_t | retain)

gamma 5, alpha 1 for 1B, gamma 1, alpha .5 for 7B. Only alpha / gamma is an option here, as
`retain_weight` (.2, .5): AdamW divides any common factor away, up to clipping (what is clipped at 1
there is at 1 / gamma here, `unlearn.train.clip`). It is an oracle in the scenario `oracle` only;
elsewhere it is the control that tells the place from the loss.
Known defects of the public code (at aafd91d8), none of them here: its hooks zero gradients
outside the mask but AdamW still decays those weights; its docstring says SimNPO, its configuration
GradDiff; weights are bfloat16 at every step, so an update below half a unit in the last place is
lost: its AUC of .91 is .5 + p/2 for the share p of weights that moved, not a property of the place.
Limits: w = 0 is gradient ascent.
"""

from dataclasses import dataclass

from lacuna.unlearn.base import OBJECTIVES, ObjectiveConfig
from lacuna.unlearn.objectives.ga import GradientAscent


@OBJECTIVES.register("oraclegrad")
class OracleGrad(GradientAscent):
    """Gradient ascent with a light retain term, meant for the true region."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Defaults of LACUNA, Table 5, for 1B."""

        retain_weight: float = 0.2
        """alpha / gamma (7B: 0.5)."""
