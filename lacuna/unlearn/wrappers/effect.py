r"""G-effect: where an objective pushes (Wang et al. 2025, arXiv:2502.19301), logged while it works.

    effect/forget = < u, grad NLL_forget >      below 0: a step raises the facts' loss
    effect/retain = < u, grad NLL_retain >      above 0: it lowers what is kept's

u is the gradient of the batch's forget term, the other two those of at most `examples` texts of
each split, at the same weights; a step descends u. With all weights in training and a `region` file
(`regions/oracle.safetensors` of a study's seed) both are split: `effect/forget_inside` counts the
region's weights alone, `effect/forget_outside` all others. Nothing is changed: the update has every
bit of the objective's without it. Limits: of gradient ascent on all texts at once `effect/forget`
is minus the squared length of the gradient; inside and outside add up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from lacuna.localize.evidence import evenly
from lacuna.model.value import layout
from lacuna.region import load_region
from lacuna.train import AllWeights, Editable, Values, editable
from lacuna.unlearn.base import UnlearnData, require
from lacuna.unlearn.gradients import split_gradient
from lacuna.unlearn.wrappers.base import WRAPPERS, Gradient, Point, Start, Wrapper


@WRAPPERS.register("effect")
class Effect(Wrapper):
    """Log where the forget term pushes, and change nothing."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How often, and of how many texts."""

        every: int = 10
        """Batches from one measurement to the next (at least 1)."""
        examples: int = 64
        """Texts of each split whose gradient is taken (at least 1)."""
        region: str | None = None
        """File of the region whose part is told apart; null: none."""

        def __post_init__(self) -> None:
            for name in ("every", "examples"):
                require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")

    config: Config
    copies = 3

    def data(self, start: Start) -> UnlearnData:
        """The same texts; reads the region."""
        self.start, self.batches, self.found = start, 0, dict[str, float]()
        self.inside: dict[str, Tensor] = {}
        if self.config.region and isinstance(start.weights, AllWeights):
            region = editable(
                start.model, load_region(Path(self.config.region), layout(start.model))
            )
            self.inside = {name: region.movable(name) for name in start.weights.masters}
        return start.data

    @property
    def passes(self) -> int:
        """One, besides the measurements."""
        return 1

    def gradient(self, inner: Gradient, point: Point) -> Gradient:
        """The very same gradient, measured at some batches."""

        def measured(weights: Editable) -> Values:
            found = inner(weights)
            if weights is point.weights and self.batches % self.config.every == 0:
                self.found = self._effects(found, weights)
            self.batches += weights is point.weights
            return found

        return measured

    def numbers(self) -> Mapping[str, float]:
        """The effects, at steps at which they were measured."""
        found, self.found = self.found, {}
        return found

    def _effects(self, pushed: Values, weights: Editable) -> dict[str, float]:
        effects = {}
        for split in ("forget", "retain"):
            texts = evenly(getattr(self.start.data, split), self.config.examples)
            slopes = split_gradient(self.start.model, weights, texts) if texts else {}
            products = {n: pushed[n] * slopes[n] for n in pushed.keys() & slopes.keys()}
            effects[f"effect/{split}"] = _total(products)
            if self.inside:
                part = _total({n: value * self.inside[n] for n, value in products.items()})
                effects[f"effect/{split}_inside"] = part
                effects[f"effect/{split}_outside"] = effects[f"effect/{split}"] - part
        return effects


def _total(values: Values) -> float:
    return sum(float(value.double().sum()) for value in values.values())
