r"""Representation misdirection for unlearning (Li et al. 2024, arXiv:2403.03218).

    L = mean_t |h_l(t) - c u|^2 / D  +  w mean_t |h_l(t) - h_l^0(t)|^2 / D
        (answer tokens of forget)       (answer tokens of retain)

h_l is the output of layer l, h^0 that of the model before unlearning; u is drawn uniformly from
[0, 1)^D, once for a trial by its seed, and normalised. Lee et al. use l = 21 of 32 and c = 2; l is
a share of the depth. They print the mean over all tokens of a text and then over texts
(`tokens=all`), without the division by D: that is a common factor where the retain term is
`hidden`, but one of D against `nll`.
Limits: c must be of the order of |h|, or the target is the origin in effect (docs/log).
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lacuna.model.forward import wide
from lacuna.model.hidden import decoder_layers, outputs
from lacuna.model_types import PreTrainedModel
from lacuna.unlearn.base import LATER, OBJECTIVES, Objective, ObjectiveConfig, Step, require
from lacuna.unlearn.retain import hidden_states

TOKENS = ("answer", "all")


@OBJECTIVES.register("rmu")
class RMU(Objective):
    """Steer the hidden states of forget answers towards a fixed random direction."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Defaults of Lee et al., appendix A."""

        depth: float = 21 / 32
        """Layer, as a share of the number of layers (0 to below 1): index floor(depth L)."""
        scale: float = 2.0
        """Length c of the control vector (above 0)."""
        retain: str = "hidden"
        """Retain term; `hidden` compares the steered layer."""
        tokens: str = field(default="answer", metadata=LATER)
        """Which tokens of forget are steered: the answers', pooled over the batch (`answer`), or
        those of the whole text, averaged in each text first (`all`, as Lee et al. print it)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(0 <= self.depth < 1, "depth", self.depth, "at least 0 and below 1")
            require(self.scale > 0, "scale", self.scale, "above 0")
            require(self.tokens in TOKENS, "tokens", self.tokens, " or ".join(TOKENS))

    config: Config

    def prepare(self, model: PreTrainedModel, generator: torch.Generator) -> None:
        """Draw the control vector."""
        direction = torch.rand(model.config.hidden_size, generator=generator)
        self.target_D = (self.config.scale * direction / direction.norm()).to(model.device)

    def forget_loss(self, step: Step) -> Tensor:
        """Squared distance of hidden states to the control vector, mean over tokens and width."""
        layers, batch = self.kept_layers(step.model), step.forget
        if self.config.tokens == "all":
            h_BTD = wide(outputs(step.model, batch, layers)[0])
            distance_BT = (h_BTD - self.target_D.to(h_BTD)).square().mean(dim=2)
            sum_B = distance_BT.where(batch.real_BT, 0.0).sum(dim=1)
            loss: Tensor = (sum_B / batch.lengths_B).mean()
            return loss
        h_ND = hidden_states(step.model, batch, layers)[0]
        return F.mse_loss(h_ND, self.target_D.to(h_ND).expand_as(h_ND))

    def kept_layers(self, model: PreTrainedModel) -> list[nn.Module]:
        """The steered layer: `retain=hidden` holds it in place on the retain batch."""
        layers = decoder_layers(model)
        return [layers[int(self.config.depth * len(layers))]]
