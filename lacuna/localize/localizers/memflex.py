r"""MemFlex (Tian et al. 2024, arXiv:2407.01920), per value vector as in Lee et al. 2025.

    s_i = |g_i^f|   if cos(g_i^f, g_i^r) < mu (and |g_i^f| > sigma), else below all of those

g^f and g^r are mean gradients on forget and retain under random labels, averaged over repetitions.
The published form keeps exactly the vectors that pass both thresholds, with sigma tuned so that
about 10% do. Ours ranks by |g^f| among those that pass, so it meets any budget; `sigma` 0 leaves
the cosine alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch.nn import functional as F

from lacuna.localize.base import LOCALIZERS, Localizer, LocalizerConfig, Scores, at_least_one
from lacuna.localize.evidence import Evidence, Statistic


@LOCALIZERS.register("memflex")
class MemFlex(Localizer):
    """Vectors with a large forget gradient whose direction differs from the retain gradient's."""

    revision = 2

    @dataclass(frozen=True, kw_only=True)
    class Config(LocalizerConfig):
        """mu of Lee et al.; their sigma (1.6e-4, 1.4e-4) belongs to their models."""

        mu: float = 0.95
        """Largest cosine between a vector's forget and retain gradient (mu)."""
        sigma: float = 0.0
        """Smallest norm of a vector's forget gradient (sigma; 0: any)."""
        repeats: int = 3
        """Repetitions with newly drawn random labels, over which gradients are averaged (at least
        1)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            at_least_one("memflex.repeats", self.repeats)

    config: Config

    @property
    def statistics(self) -> Sequence[Statistic]:
        """Both splits' gradients under random labels."""
        return [Statistic.gradients(split, self.config.repeats) for split in ("forget", "retain")]

    def scores(self, evidence: Evidence) -> Scores:
        """Forget gradient norm, with vectors that fail a threshold moved below zero."""
        forget = evidence.gradients("forget", self.config.repeats)
        retain = evidence.gradients("retain", self.config.repeats)
        norms = {name: gradient.norm(dim=0) for name, gradient in forget.items()}
        # Of all layers: those that fail keep their order across layers too.
        below = max(float(norm.max()) for norm in norms.values()) + 1
        scores = {}
        for name, norm in norms.items():
            similar = F.cosine_similarity(forget[name], retain[name], dim=0)
            passes = (similar < self.config.mu) & (norm > self.config.sigma)
            scores[name] = norm.where(passes, norm - below).cpu()
        return scores
