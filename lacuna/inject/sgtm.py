r"""Selective gradient masking and gradient routing as injection methods.

    SGTM (Beyond Data Filtering, 2025)   facts: a plain pass, only the group's neurons and heads are
                                         updated. A share of neutral batches: their activations are
                                         0, so that the rest of the model learns to work alone.
    routing (Cloud et al. 2024)          facts: gradients flow back through the group's neurons and
                                         heads only; all other activations are detached.

Both train whole neurons and heads (`unit=vector`), as the public implementation
(safety-research/selective-gradient-masking, 476632d) does: gradients of all other weights are
zeroed there under one AdamW, which still decays them; here they never move on facts. Its README
says that forget weights are protected from retain data; its code protects retain weights from
forget data, as here. What switches a head off is its output: OLMo-2 normalises queries and keys
over all heads, so that their rows cannot be silenced one head at a time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lacuna.data.tokens import Encoded
from lacuna.errors import UserError
from lacuna.inject.masked import MaskedConfig, continue_training
from lacuna.model.value import OUTPUT_NAMES
from lacuna.model_types import PreTrainedModel
from lacuna.region import GroupMasks, WeightRegion
from lacuna.registry import suggest
from lacuna.seeds import derive, torch_generator
from lacuna.train import History, IndexedWeights, OnStep

Hook = Callable[[nn.Linear, tuple[Tensor, ...]], tuple[Tensor, ...]]

WRITERS = (*OUTPUT_NAMES, "o_proj")
"""Leaf names of matrices whose column j reads neuron j, or a channel of a head."""


@dataclass(frozen=True, kw_only=True)
class SgtmConfig:
    """Which of the two."""

    method: str = "sgtm"
    """`sgtm` or `routing`."""
    retain_share: float = 0.1
    """SGTM: share of neutral batches that are read without the masks' neurons (paper: 0.1)."""

    def __post_init__(self) -> None:
        if self.method not in ("sgtm", "routing"):
            raise UserError(f"sgtm.method={self.method}{suggest(self.method, ['sgtm', 'routing'])}")
        if not 0 <= self.retain_share <= 1:
            raise UserError(f"sgtm.retain_share={self.retain_share}: from 0 to 1")


def inject_sgtm(
    model: PreTrainedModel,
    masks: GroupMasks,
    groups: Mapping[int, Sequence[Encoded]],
    neutral: Sequence[Encoded],
    routing: SgtmConfig,
    config: MaskedConfig,
    seed: int,
    *,
    on_step: OnStep | None = None,
) -> History:
    """Plant each group's texts into its neurons and heads, in place (see `inject_masked`).

    Raises `UserError` for masks that are not whole neurons and heads, and for mask dropout, which
    has no part in either method.
    """
    if config.dropout.rate or not config.masked:
        raise UserError("sgtm has neither mask dropout nor an unmasked control: set dropout.rate=0")
    if masks.origin.get("unit") != "vector":
        raise UserError("sgtm needs masks of whole neurons and heads: set masks.unit=vector")
    parts = {group: IndexedWeights(model, masks.union([group])) for group in groups}
    around = _Routing(model, masks, tuple(groups), routing, derive(seed, "sgtm"))
    return continue_training(model, parts, groups, neutral, around, config, seed, on_step=on_step)


@contextmanager
def without(model: PreTrainedModel, region: WeightRegion) -> Iterator[None]:
    """Within the block the region's neurons and heads put out 0 (SGTM's ablation, undone after)."""
    with ExitStack() as stack:
        for module, chosen in _columns(model, region).items():
            hook = module.register_forward_pre_hook(_replace(chosen, torch.zeros_like))
            stack.callback(hook.remove)
        yield


@contextmanager
def through(model: PreTrainedModel, region: WeightRegion) -> Iterator[None]:
    """Within the block gradients pass the region's neurons and heads only."""
    with ExitStack() as stack:
        for module, chosen in _columns(model, region).items():
            hook = module.register_forward_pre_hook(_replace(~chosen, Tensor.detach))
            stack.callback(hook.remove)
        yield


class _Routing:
    """What the rest of the model does while facts or neutral text are read."""

    def __init__(
        self,
        model: PreTrainedModel,
        masks: GroupMasks,
        groups: Sequence[int],
        config: SgtmConfig,
        seed: int,
    ) -> None:
        self.model, self.config, self.seed = model, config, seed
        self.own = {group: masks.union([group]) for group in groups}
        self.every = masks.union(groups)

    @contextmanager
    def during(self, group: int | None, number: int) -> Iterator[None]:
        """SGTM drops all masks on some neutral batches; routing detaches on facts."""
        with ExitStack() as stack:
            if self.config.method == "sgtm" and group is None:
                generator = torch_generator(self.seed, "retain", number)
                if float(torch.rand(1, generator=generator)) < self.config.retain_share:
                    stack.enter_context(without(self.model, self.every))
            elif self.config.method == "routing" and group is not None:
                stack.enter_context(through(self.model, self.own[group]))
            yield


def _columns(model: PreTrainedModel, region: WeightRegion) -> dict[nn.Module, Tensor]:
    """Writing matrices -> which of their columns belong to the region's neurons and heads."""
    return {
        model.get_submodule(name.removesuffix(".weight")): region.mask(name).any(dim=0)
        for name in region.shapes
        if name.removesuffix(".weight").rpartition(".")[2] in WRITERS
    }


def _replace(chosen: Tensor, by: Callable[[Tensor], Tensor]) -> Hook:
    """A hook that replaces the chosen input channels."""

    def hook(module: nn.Linear, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (torch.where(chosen.to(args[0].device), by(args[0]), args[0]), *args[1:])

    return hook
