"""The mixing curve: 21 models between the injected and the unlearned one, moved in place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from lacuna.evaluate.curve_summaries import Mu95, aues, mu95
from lacuna.evaluate.evaluator import Evaluator, Measured, Strength
from lacuna.evaluate.quality import forget_quality
from lacuna.model_types import PreTrainedModel
from lacuna.registry import Revised
from lacuna.train import Editable, Values, mix

Floats = NDArray[np.float64]
T = TypeVar("T")


def mixing_weights(points: int) -> list[float]:
    """`points` evenly spaced alphas from 0 to 1, free of float dust."""
    return [round(i / (points - 1), 10) for i in range(points)]


@dataclass(frozen=True)
class StrengthCurve:
    """ES of every question at every alpha; A alphas, I items."""

    alphas: list[float]
    forget_AI: Floats
    retain_AI: Floats

    @property
    def fs(self) -> Floats:
        """(A,) forget strength."""
        return np.asarray(1 - np.nanmean(self.forget_AI, axis=1))

    @property
    def rs(self) -> Floats:
        """(A,) retain strength."""
        return np.asarray(np.nanmean(self.retain_AI, axis=1))

    @property
    def aues(self) -> float:
        """Area under the FS-RS curve."""
        return float(aues(self.fs, self.rs))

    @classmethod
    def of(cls, alphas: list[float], points: list[Strength]) -> "StrengthCurve":
        """Stack the points."""
        return cls(
            alphas, np.stack([p.forget for p in points]), np.stack([p.retain for p in points])
        )


@dataclass(frozen=True)
class FullCurve(Revised):
    """All metrics at every alpha. `fq` and `mu95` are None where forget has no wrong answers,
    `mu95` also where the utility is 0 from the start, of which 95% is no threshold."""

    revision: ClassVar[int] = 2
    """MU95 is read in order of alpha."""

    strength: StrengthCurve
    points: list[Measured]
    fq: list[float] | None
    mu95: Mu95 | None

    @property
    def mu(self) -> list[float]:
        """(A,) model utility."""
        return [point.utility for point in self.points]


def walk(
    ask: Callable[[PreTrainedModel], T],
    model: PreTrainedModel,
    weights: Editable,
    start: Values,
    end: Values,
    alphas: list[float],
) -> list[T]:
    """`ask` the model at every alpha; only the editable weights move, and they end at `end`."""
    answers = []
    for alpha in alphas:
        mix(weights, start, end, alpha)
        answers.append(ask(model))
    weights.write(end)
    return answers


def strength_curve(
    evaluator: Evaluator, model: PreTrainedModel, weights: Editable, start: Values, end: Values
) -> StrengthCurve:
    """FS and RS along the way from `start` to `end`."""
    alphas = mixing_weights(evaluator.config.alphas)
    with evaluator.moving(model, weights):
        points = walk(evaluator.strength, model, weights, start, end, alphas)
    return StrengthCurve.of(alphas, points)


def full_curve(
    evaluator: Evaluator,
    model: PreTrainedModel,
    weights: Editable,
    start: Values,
    end: Values,
    retained_ratio: Floats | None,
) -> FullCurve:
    """Everything along the way; `retained_ratio` are the retained model's forget truth ratios."""
    alphas = mixing_weights(evaluator.config.alphas)
    with evaluator.moving(model, weights):
        points = walk(evaluator.measure, model, weights, start, end, alphas)
    strength = StrengthCurve.of(alphas, [point.strength for point in points])
    if retained_ratio is None:
        return FullCurve(strength, points, None, None)
    fq = [forget_quality(p.forget["truth_ratio"], retained_ratio).log10_p for p in points]
    utility = [point.utility for point in points]
    found = mu95(utility, fq, utility[0]) if utility[0] > 0 else None
    return FullCurve(strength, points, fq, found)
