r"""Representation misdirection for unlearning (Li et al. 2024, arXiv:2403.03218).

    L = mean_t |h_l(t) - c u|^2 / D  +  w mean_t |h_l(t) - h_l^0(t)|^2 / D
        (answer tokens of forget)       (answer tokens of retain)

h_l is the output of layer l, h^0 that of the model before unlearning; u is drawn once, uniformly
from [0, 1)^D, and normalised. Lee et al. use l = 21 of 32 and c = 2; l is a share of the depth.
Limits: c must be of the order of |h|, or the target is the origin in effect (LOG.md).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lacuna.data.tokens import IGNORE, Batch
from lacuna.model.hidden import decoder_layers, outputs
from lacuna.train import Loss
from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step, require


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

        def __post_init__(self) -> None:
            super().__post_init__()
            require(0 <= self.depth < 1, "depth", self.depth, "at least 0 and below 1")
            require(self.scale > 0, "scale", self.scale, "above 0")

    config: Config

    def prepare(self, model: PreTrainedModel, generator: torch.Generator) -> None:
        """Draw the control vector."""
        direction = torch.rand(model.config.hidden_size, generator=generator)
        self.target_D = (self.config.scale * direction / direction.norm()).to(model.device)

    def loss(self, step: Step) -> Loss:
        """Squared distances of hidden states, averaged over tokens and width."""
        weight, batch = self.config.retain_weight, step.retain
        retain = None
        if weight > 0 and batch is not None:
            before_ND = step.frozen.original(lambda model: self._hidden(model, batch))
            retain = (self._hidden(step.model, batch) - before_ND).square().mean()
        forget_ND = self._hidden(step.model, step.forget)
        forget = (forget_ND - self.target_D.to(forget_ND)).square().mean()
        if retain is None:
            return Loss(forget, {"loss/forget": forget.detach()})
        metrics = {"loss/forget": forget.detach(), "loss/retain": retain.detach()}
        return Loss(forget + weight * retain, metrics)

    def _hidden(self, model: PreTrainedModel, batch: Batch) -> Tensor:
        layers = decoder_layers(model)
        layer = layers[int(self.config.depth * len(layers))]
        return outputs(model, batch, [layer])[0][batch.labels_BT != IGNORE]
