r"""WAGLE (Jia et al. 2024, arXiv:2410.17509), averaged over a value vector as in Lee et al. 2025.

    wagle:       s_i = mean_j [ theta_ij g^f_ij - (1/gamma) g^r_ij g^f_ij ]
    wagle_code:  s_i = mean_j | (theta_ij - g^r_ij / mu) g^f_ij |,   mu = 1e-6

As published, g^f is the gradient of the *forget objective*, here -NLL (`forget=objective`);
with the NLL itself (`forget=nll`), as it is often written, every sign flips. gamma is the mean
diagonal Hessian on retain, estimated by the Fisher. The public code takes absolute values, a fixed
mu and gradients summed over the data; there the second term dominates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lacuna.errors import UserError
from lacuna.localize.base import LOCALIZERS, Localizer, LocalizerConfig, Scores, at_least_one
from lacuna.localize.evidence import Evidence, Statistic


@LOCALIZERS.register("wagle")
class Wagle(Localizer):
    """Signed attribution, as published."""

    @dataclass(frozen=True, kw_only=True)
    class Config(LocalizerConfig):
        """Sign of the forget gradient, and size of the Fisher sample."""

        forget: str = "objective"
        """`objective` (-NLL) or `nll`: what g^f is the gradient of."""
        fisher_examples: int = 32
        """Number of retain texts from which gamma is estimated (at least 1)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            at_least_one("wagle.fisher_examples", self.fisher_examples)
            if self.forget not in ("objective", "nll"):
                raise UserError(f"wagle: forget={self.forget!r}: choose objective or nll")

    config: Config

    @property
    def statistics(self) -> Sequence[Statistic]:
        """Both splits' gradients, and the retain Fisher."""
        return (
            Statistic.gradients("forget"),
            Statistic.gradients("retain"),
            Statistic.fisher("retain", self.config.fisher_examples),
        )

    def scores(self, evidence: Evidence) -> Scores:
        """Mean over each vector of theta g_f - g_r g_f / gamma."""
        return {name: score.mean(dim=0).cpu() for name, score in self._each(evidence)}

    def weight_scores(self, evidence: Evidence) -> Scores:
        """theta g_f - g_r g_f / gamma, as first published (Lee et al. 2025, table 5)."""
        return {name: score.cpu() for name, score in self._each(evidence)}

    def _each(self, evidence: Evidence) -> Iterator[tuple[str, Tensor]]:
        """One matrix after the other: all at once would fill a GPU."""
        sign = -1.0 if self.config.forget == "objective" else 1.0
        forget, retain = evidence.gradients("forget"), evidence.gradients("retain")
        fisher = evidence.fisher("retain", self.config.fisher_examples)
        gamma = torch.cat(list(fisher.values())).mean().item()
        for name, weight in evidence.weights.items():
            yield name, sign * forget[name] * (weight.float() - retain[name] / gamma)


@LOCALIZERS.register("wagle_code")
class WagleCode(Localizer):
    """Unsigned attribution of the public code."""

    @dataclass(frozen=True, kw_only=True)
    class Config(LocalizerConfig):
        """The code's constant."""

        mu: float = 1e-6
        """Divides the retain gradient (above 0)."""

    config: Config

    @property
    def statistics(self) -> Sequence[Statistic]:
        """Both splits' gradients."""
        return (Statistic.gradients("forget"), Statistic.gradients("retain"))

    def scores(self, evidence: Evidence) -> Scores:
        """Mean over each vector of |(theta - g_r / mu) g_f|."""
        forget, retain = evidence.gradients("forget"), evidence.gradients("retain")
        return {
            name: ((w.float() - retain[name] / self.config.mu) * forget[name]).abs().mean(0).cpu()
            for name, w in evidence.weights.items()
        }
