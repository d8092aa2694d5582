"""One form for every architecture: each matrix a linear layer, each expert a module of its own.

transformers keeps GPT-2's matrices transposed (`Conv1D`) and the routed experts of a layer in two
3-D parameters. Here both are linear layers with the names that files of such models have, so that
value vectors, gradients, masks and adapters need no case for them. `hub_state` turns back.

A layer computes all its experts for every token, those that it is not routed to with weight zero
(numbers are the same, and every hook sees every token); that is E / k times the work of routing.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lacuna.model_types import PreTrainedModel

if TYPE_CHECKING:
    from transformers.pytorch_utils import Conv1D

EXPERTS = (
    "DeepseekV2Experts",
    "DeepseekV3Experts",
    "MixtralExperts",
    "OlmoeExperts",
    "Qwen2MoeExperts",
    "Qwen3MoeExperts",
)
"""Classes of transformers that compute sum_e weight_e down_e(act(gate_e(x)) * up_e(x))."""


class Turned(nn.Linear):
    """A `Conv1D` as a linear layer: the transposed weight."""

    def __init__(self, old: "Conv1D") -> None:
        inputs, outputs = old.weight.shape
        super().__init__(inputs, outputs, device="meta")
        self.weight = nn.Parameter(old.weight.detach().t().contiguous(), requires_grad=False)
        self.bias = old.bias


class Expert(nn.Module):
    """A gated MLP without biases."""

    def __init__(self, gate: Tensor, up: Tensor, down: Tensor) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = map(_linear, (gate, up, down))


def _linear(weight: Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    made.weight = nn.Parameter(weight, requires_grad=False)
    return made


class Experts(nn.Module):
    """The routed experts of a layer, under their numbers."""

    def __init__(self, fused: Any) -> None:
        gate_up, down = fused.gate_up_proj.detach(), fused.down_proj.detach()
        super().__init__()
        self.count = len(down)
        for e in range(self.count):
            gate, up = gate_up[e].chunk(2)
            self.add_module(str(e), Expert(gate, up, down[e]))
        self.act_fn = fused.act_fn

    def forward(self, states_ND: Tensor, chosen_NK: Tensor, weights_NK: Tensor) -> Tensor:
        """Sum of the experts' outputs, each in its weight, which goes in front of its output
        matrix: what a neuron puts in is what it contributes."""
        total_ND = torch.zeros_like(states_ND)
        for e in range(self.count):
            expert: Any = self.get_submodule(str(e))
            weight_N = (weights_NK * (chosen_NK == e)).sum(1)
            hidden_NF = self.act_fn(expert.gate_proj(states_ND)) * expert.up_proj(states_ND)
            total_ND = total_ND + expert.down_proj(hidden_NF * weight_N[:, None].to(hidden_NF))
        return total_ND


def plain(model: PreTrainedModel) -> PreTrainedModel:
    """The model with these modules replaced, in place; without any of them untouched."""
    from transformers.pytorch_utils import Conv1D

    for name, module in list(model.named_modules()):
        if isinstance(module, Conv1D):
            model.set_submodule(name, Turned(module))
        elif type(module).__name__ in EXPERTS:
            model.set_submodule(name, Experts(module))
    return model


def hub_state(model: PreTrainedModel) -> dict[str, Tensor]:
    """All tensors of a plain model under the names and in the shapes of transformers."""
    state: dict[str, Tensor] = dict(model.state_dict())
    for name, module in model.named_modules():
        if isinstance(module, Turned):
            state[f"{name}.weight"] = state[f"{name}.weight"].t().contiguous()
        elif isinstance(module, Experts):
            parts = [
                [state.pop(f"{name}.{e}.{leaf}.weight") for e in range(module.count)]
                for leaf in ("gate_proj", "up_proj", "down_proj")
            ]
            fused = [torch.cat(pair) for pair in zip(*parts[:2], strict=True)]
            state[f"{name}.gate_up_proj"] = torch.stack(fused)
            state[f"{name}.down_proj"] = torch.stack(parts[2])
    return state
