"""Fisher ratio: the selection rule of SSD (Foster et al. 2024, arXiv:2308.07707), per value vector.

    vector:  s_i = F_i^f / (F_i^f + F_i^r),   F_i = mean_j F_ij over the vector
    weight:  s_i = (n_i + mean_j F_ij^f / (F_ij^f + F_ij^r)) / (d + 1)
             n_i = how many of the d weights have F_ij^f > alpha F_ij^r

F is the diagonal empirical Fisher. SSD selects weights whose importance for forget exceeds alpha
times that for all training data. `weight` ranks a vector by the share of its weights that SSD
selects; vectors of equal share follow their mean share of the two Fishers, which decides nothing
else. `vector` sums first: its s ranks as the ratio F^f / F^r does, but stays finite where a vector
is silent on retain. Two choices are ours: gradients are squared per text (the public code squares
batch means, whose size depends on the batch), and forget is held against retain, since against all
data the ratio cannot exceed one over forget's share. The unlearning method is `ssd`.
Limits: 1 where only forget uses the vector, 0 where forget does not; where both splits weigh the
same, `vector` is 1/2 and `weight` (alpha of 1 or more) 1/2 / (d + 1).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lacuna.errors import UserError
from lacuna.localize.base import LOCALIZERS, Localizer, LocalizerConfig, Scores, at_least_one
from lacuna.localize.evidence import Evidence, Statistic


@LOCALIZERS.register("fisher_ratio")
class FisherRatio(Localizer):
    """Vectors that matter more to forget than to retain texts."""

    @dataclass(frozen=True, kw_only=True)
    class Config(LocalizerConfig):
        """What is compared, and how many texts are read."""

        granularity: str = "vector"
        """`vector` compares whole vectors, `weight` counts the weights that SSD selects."""
        alpha: float = 10.0
        """How many times more a weight must matter to forget (0 or more; `weight` only)."""
        examples: int = 256
        """Number of texts of each split from which its Fisher is estimated (at least 1)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            at_least_one("fisher_ratio.examples", self.examples)
            if self.granularity not in ("vector", "weight"):
                raise UserError(
                    f"fisher_ratio: granularity={self.granularity!r}: choose vector or weight"
                )
            if not 0 <= self.alpha < math.inf:
                raise UserError(f"fisher_ratio: alpha={self.alpha}: must be finite, 0 or more")

    config: Config

    @property
    def statistics(self) -> Sequence[Statistic]:
        """Both splits' Fisher, of whole vectors or of single weights."""
        by_weight = self.config.granularity == "weight"
        made = Statistic.weight_fisher if by_weight else Statistic.fisher
        return [made(split, self.config.examples) for split in ("forget", "retain")]

    def scores(self, evidence: Evidence) -> Scores:
        """Forget's share of the two Fishers, or the share of weights selected."""
        by_weight = self.config.granularity == "weight"
        fisher = evidence.weight_fisher if by_weight else evidence.fisher
        forget = fisher("forget", self.config.examples)
        retain = fisher("retain", self.config.examples)
        score = self._selected if by_weight else _share
        return {name: score(value, retain[name]) for name, value in forget.items()}

    def _selected(self, forget: Tensor, retain: Tensor) -> Tensor:
        """(d_ff,) float64: the tie break is below one weight, and must not be rounded away."""
        count = (forget > self.config.alpha * retain).sum(dim=0)
        tie_break = _share(forget, retain).mean(dim=0, dtype=torch.float64)
        return ((count + tie_break) / (len(forget) + 1)).cpu()


def _share(forget: Tensor, retain: Tensor) -> Tensor:
    """Forget's part of the sum; 0 where both are silent."""
    return torch.nan_to_num(forget / (forget + retain), nan=0.0)
