r"""K-FADE: a few Gauss-Newton steps up the facts' loss (arXiv:2602.10568; "PB&J" in LLM-GAT).

    theta <- theta + sqrt(2 eps / g^T P g) P g,   P = (G + l I)^-1,   `steps` times

g is the gradient of the facts' token-mean NLL, anew at each step, G the K-FAC curvature of the
retain texts' predictions (`lacuna.train.kfac`): of all changes that cost eps nats of retain KL to
second order this one raises the facts' loss most, to first order. l is `damping` times the mean
eigenvalue of each matrix's curvature. All linear layers of the decoder are edited, as far as the
region allows: value vectors by the curvature of their own inputs, single weights by that of their
columns and cut to the region. Steps, eps and layers of the paper are not public: "in the style of".
The learning rate is the strength, which costs its square in KL: search it downwards, as a model
that is certain of its retain answers has next to no curvature, and eps then promises too much (on
the embedded model, which knows them by heart, strength 1 leaves nothing). Limits: damping -> inf is
plain ascent; eps = 0 is the identity.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lacuna.costs import ALL, Workload
from lacuna.localize.evidence import evenly
from lacuna.model.value import decoder_path
from lacuna.model_types import PreTrainedModel
from lacuna.seeds import torch_generator
from lacuna.train import Editable, TrainConfig, Values
from lacuna.train.kfac import factors, mean_gradients
from lacuna.unlearn.base import OBJECTIVES, require
from lacuna.unlearn.edits.base import Edit, EditConfig, EditInputs


@OBJECTIVES.register("kfade")
class KFade(Edit):
    """Climb the facts' loss where predictions of the rest change least."""

    rates: ClassVar[tuple[float, ...]] = (0.03, 0.06, 0.12, 0.25)
    copies: ClassVar[int] = 4

    @dataclass(frozen=True, kw_only=True)
    class Config(EditConfig):
        """How far, and how the curvature is estimated."""

        eps: float = 0.01
        """KL divergence on retain that a step may cost, in nats a token (0 or more)."""
        steps: int = 4
        """Number of steps (at least 1)."""
        damping: float = 0.1
        """l as a share of the mean eigenvalue of a matrix's curvature (above 0)."""
        examples: int = 256
        """Number of retain texts from which curvature is estimated (at least 1)."""

        def __post_init__(self) -> None:
            require(self.eps >= 0, "eps", self.eps, "0 or more")
            require(self.damping > 0, "damping", self.damping, "above 0")
            for name in ("steps", "examples"):
                require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")

    config: Config

    def apply(self, given: EditInputs) -> Values:
        """Steps in the model itself; the curvature is that of the injected model."""
        model, config = given.model, self.config
        modules = movable_linears(model, given.weights)
        generator = torch_generator(given.seed, "kfade")
        known = factors(model, modules, evenly(given.retain, config.examples), generator)
        places = {name: given.weights.movable(f"{name}.weight") for name in modules}
        wide = {name: module.weight.detach().double() for name, module in modules.items()}
        for _ in range(config.steps):
            slopes, steps = mean_gradients(model, modules, given.forget), {}
            for name, g_DF in slopes.items():
                columns = places[name].any(dim=0).nonzero()[:, 0]
                steps[name] = torch.zeros_like(g_DF)
                solved = known[name].solve(g_DF[:, columns], columns, config.damping)
                steps[name][:, columns] = solved
                steps[name] *= places[name]
            size = sum(float((slopes[name] * step).sum()) for name, step in steps.items())
            scale = math.sqrt(2 * config.eps / size) if size > 0 else 0.0
            for name, step in steps.items():
                wide[name] += scale * step
                _put(modules[name], wide[name], places[name])
        return given.weights.read()

    def work(self, load: Workload, train: TrainConfig, gradient: float) -> float:
        """A gradient of the facts at every step, and of the retain texts that are studied."""
        return ALL * (
            self.config.steps * load.forget.tokens + load.retain.some(self.config.examples)
        )


def movable_linears(model: PreTrainedModel, weights: Editable) -> Mapping[str, nn.Linear]:
    """The decoder's linear layers of which some weight may change, by module name."""
    path = decoder_path(model)
    return {
        f"{path}.{name}": module
        for name, module in model.get_submodule(path).named_modules()
        if isinstance(module, nn.Linear) and bool(weights.movable(f"{path}.{name}.weight").any())
    }


@torch.no_grad()
def _put(module: nn.Linear, value: Tensor, where: Tensor) -> None:
    module.weight.copy_(torch.where(where, value.to(module.weight.dtype), module.weight))
