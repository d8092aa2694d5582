"""Controls and upper bounds: what chance gives, and what privileged knowledge gives.

`oracle` is the target region itself; `random` draws from the whole model; `random_layers` too, but
as many from each layer as the target region has there; `complement` draws from outside the target
region (Lee et al. 2025, section 4: Random); `drift` ranks vectors by how far injection moved them,
which needs the retained model.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from lacuna.errors import UserError
from lacuna.localize.base import LOCALIZERS, Localizer, LocalizerConfig, Scores
from lacuna.localize.evidence import RETAINED, TARGET, Evidence
from lacuna.model.value import value_modules
from lacuna.region import Region
from lacuna.seeds import torch_generator


@LOCALIZERS.register("oracle")
class Oracle(Localizer):
    """Knows the target region."""

    privileges: ClassVar[tuple[str, ...]] = (TARGET,)

    def scores(self, evidence: Evidence) -> Scores:
        """1 inside the target region, 0 outside."""
        inside = _target(evidence).flat().float()
        return _split(evidence, inside)


@LOCALIZERS.register("random")
class Random(Localizer):
    """Uniform over the whole model."""

    def scores(self, evidence: Evidence) -> Scores:
        """Uniform noise."""
        return _split(evidence, _noise(evidence, "random"))

    def weight_scores(self, evidence: Evidence) -> Scores:
        """Uniform noise."""
        return {
            name: torch.rand(shape, generator=torch_generator(evidence.seed, "localize", name))
            for name, shape in evidence.layout.shapes.items()
        }


@LOCALIZERS.register("random_layers")
class RandomLayers(Localizer):
    """Uniform within each layer, with the target region's number of vectors in every layer."""

    privileges: ClassVar[tuple[str, ...]] = (TARGET,)

    @dataclass(frozen=True, kw_only=True)
    class Config(LocalizerConfig):
        """Matches the target region's layers."""

        scope: str = "matched"
        """Knowing which layers hold the facts, and nothing more."""

    def scores(self, evidence: Evidence) -> Scores:
        """Uniform noise."""
        _target(evidence)
        return _split(evidence, _noise(evidence, "random layers"))


@LOCALIZERS.register("complement")
class Complement(Localizer):
    """Uniform over everything but the target region."""

    privileges: ClassVar[tuple[str, ...]] = (TARGET,)

    def scores(self, evidence: Evidence) -> Scores:
        """Uniform noise outside the target region, -1 inside; refuses a region above one half."""
        target = _target(evidence)
        if target.fraction > 0.5:
            raise UserError(
                f"region.ratio={target.fraction:.3g} leaves no room for as large a region outside "
                f"it: use at most 0.5"
            )
        noise = _noise(evidence, "complement")
        noise[target.flat()] = -1
        return _split(evidence, noise)


@LOCALIZERS.register("drift")
class Drift(Localizer):
    """Distance of each value vector from the retained model's."""

    privileges: ClassVar[tuple[str, ...]] = (RETAINED,)

    def scores(self, evidence: Evidence) -> Scores:
        """L2 distance per vector."""
        assert evidence.retained is not None, "drift needs the retained model"
        before = value_modules(evidence.retained)
        return {
            name: (weight.float() - before[name].weight.to(weight.device).float()).norm(dim=0).cpu()
            for name, weight in evidence.weights.items()
        }


def _target(evidence: Evidence) -> Region:
    if evidence.target is None:
        raise UserError("this scenario needs a target region: facts were injected everywhere here")
    return evidence.target


def _noise(evidence: Evidence, purpose: str) -> torch.Tensor:
    generator = torch_generator(evidence.seed, "localize", purpose)
    return torch.rand(evidence.layout.total, generator=generator)


def _split(evidence: Evidence, flat: torch.Tensor) -> Scores:
    widths = [width for _, width in evidence.layout.shapes.values()]
    return dict(zip(evidence.layout.shapes, flat.split(widths), strict=True))
