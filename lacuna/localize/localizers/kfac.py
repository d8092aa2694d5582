r"""Where a Gauss-Newton step up the facts' loss goes (K-FADE as a localizer, arXiv:2602.10568).

    s_i = |(P g)_i|,   P = (G + l I)^-1,  g = grad of the facts' token-mean NLL

G is the K-FAC curvature of the retain texts' predictions in each output matrix (see the edit
`kfade`): the step avoids directions on which they depend. The score of a weight is the size of its
part, that of a vector the length. Limits: damping -> inf is the length of the plain gradient; a
fact told with certainty has no gradient.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lacuna.costs import REGION, Workload
from lacuna.errors import UserError
from lacuna.localize.base import LOCALIZERS, Localizer, LocalizerConfig, Scores, at_least_one
from lacuna.localize.evidence import Evidence, evenly
from lacuna.model.value import value_modules
from lacuna.seeds import torch_generator
from lacuna.train.kfac import factors, mean_gradients


@LOCALIZERS.register("kfac")
class KFac(Localizer):
    """Vectors that a step moves which spares what is kept."""

    surveyed: ClassVar[bool] = False

    @dataclass(frozen=True, kw_only=True)
    class Config(LocalizerConfig):
        """How curvature is estimated."""

        damping: float = 0.1
        """l as a share of the mean eigenvalue of a matrix's curvature (above 0)."""
        examples: int = 256
        """Number of retain texts from which curvature is estimated (at least 1)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            at_least_one("kfac.examples", self.examples)
            if not 0 < self.damping < float("inf"):
                raise UserError(f"kfac: damping={self.damping}: must be finite and above 0")

    config: Config

    def scores(self, evidence: Evidence) -> Scores:
        """Length of the step in each vector."""
        return {name: step.norm(dim=0).cpu() for name, step in self._steps(evidence).items()}

    def weight_scores(self, evidence: Evidence) -> Scores:
        """Size of the step in each weight."""
        return {name: step.abs().cpu() for name, step in self._steps(evidence).items()}

    def _steps(self, evidence: Evidence) -> dict[str, Tensor]:
        modules = value_modules(evidence.model)
        texts = evenly(evidence.retain, self.config.examples)
        generator = torch_generator(evidence.seed, "kfac")
        known = factors(evidence.model, modules, texts, generator, evidence.max_tokens)
        slopes = mean_gradients(evidence.model, modules, evidence.forget, evidence.max_tokens)
        found = {}
        for name, g_DF in slopes.items():
            every = torch.arange(g_DF.shape[1], device=g_DF.device)
            found[name] = known[name].solve(g_DF, every, self.config.damping)
        return found

    def work(self, load: Workload) -> float:
        """A gradient of the facts, and of the retain texts that are studied."""
        return REGION * (load.forget.tokens + load.retain.some(self.config.examples))
