"""Fisher ratio: the selection rule of SSD (Foster et al. 2024, arXiv:2308.07707), per value vector.

    s_i = F_i^f / (F_i^f + F_i^r),   F = mean over texts and over the vector of squared gradients

SSD selects weights whose importance for forget exceeds alpha times that for all training data; s
ranks as the ratio F^f / F^r does, but stays finite where a vector is silent on retain. Two choices
are ours: gradients are squared per text (the public code squares batch means, whose size depends on
the batch), and forget is held against retain, since against all data the ratio cannot exceed one
over forget's share. The rule for single weights is the unlearning method `ssd`.
Limits: 1/2 where both splits weigh the same, 1 where only forget uses the vector, 0 where neither.
"""

from dataclasses import dataclass

import torch

from lacuna.localize.base import LOCALIZERS, Localizer, LocalizerConfig, Scores, at_least_one
from lacuna.localize.evidence import Evidence


@LOCALIZERS.register("fisher_ratio")
class FisherRatio(Localizer):
    """Vectors that matter more to forget than to retain texts."""

    @dataclass(frozen=True, kw_only=True)
    class Config(LocalizerConfig):
        """How many texts are read."""

        examples: int = 256
        """Texts of each split that estimate its Fisher."""

        def __post_init__(self) -> None:
            super().__post_init__()
            at_least_one("fisher_ratio.examples", self.examples)

    config: Config

    def scores(self, evidence: Evidence) -> Scores:
        """Forget's share of the two Fishers."""
        forget = evidence.fisher("forget", self.config.examples)
        retain = evidence.fisher("retain", self.config.examples)
        return {
            name: torch.nan_to_num(value / (value + retain[name]), nan=0.0)
            for name, value in forget.items()
        }
