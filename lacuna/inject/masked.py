r"""Masked continual pretraining (LACUNA, arXiv 2607.02513): each group of people has a mask.

    batch of group g:  theta_i <- theta_i - lr adam_g(dL/dtheta_i)   for i in mask g, else unchanged
    neutral text:      all weights but the embeddings, at a rate of its own

LACUNA multiplies micro-gradients by masks under one AdamW, whose decay and moments leak; here every
group has an optimizer over its own weights. Several groups in one step keep apart whatever their
number, since masks are disjoint and each group's gradient is summed over its own batches only. Mask
dropout (`lacuna.inject.dropout`) is ours; rate 0 is LACUNA's protocol.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from lacuna.data.tokens import Encoded, TrainingBatches
from lacuna.errors import UserError
from lacuna.inject.dropout import DropoutConfig, MaskDropout, NoDropout, Surroundings
from lacuna.inject.lee import equal_outside, same_bits
from lacuna.model.forward import answers
from lacuna.model.value import Layout, layout
from lacuna.model_types import PreTrainedModel
from lacuna.region import FORGET_GROUPS, GroupMasks, Unit, draw_masks, scored_shapes
from lacuna.registry import suggest
from lacuna.seeds import derive, torch_generator
from lacuna.train import (
    AllWeights,
    Diverged,
    Editable,
    History,
    IndexedWeights,
    OnStep,
    mean_nll,
)

NEUTRAL = ("all", "masks", "none")


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """The masks that groups are given."""

    groups: int = 6
    """Number of groups."""
    forget_groups: tuple[int, ...] = FORGET_GROUPS
    """Groups to be unlearned; the others are retained."""
    unit: str = "weight"
    """`weight`: single weights. `vector`: whole neurons and attention heads."""
    skip_layers: tuple[int, ...] = ()
    """Layers without masks (negative: from the end)."""

    def __post_init__(self) -> None:
        odd = [g for g in self.forget_groups if not 0 <= g < self.groups]
        if odd or not 0 < len(set(self.forget_groups)) < self.groups:
            raise UserError(
                f"forget_groups={list(self.forget_groups)} of {self.groups} groups: name at least "
                f"one of 0 to {self.groups - 1}, and leave at least one"
            )
        if self.unit not in ("weight", "vector"):
            raise UserError(f"unit={self.unit}: choose weight or vector")

    @property
    def retain_groups(self) -> tuple[int, ...]:
        """The groups that are not forget groups."""
        return tuple(g for g in range(self.groups) if g not in self.forget_groups)

    def density(self, shape: Layout, share: float) -> float:
        """Of the weights that masks may hold, what `share` of all weights is.

        Raises `UserError` where the masks would not fit beside each other.
        """
        scored = scored_shapes(shape, self.skip_layers)
        weights = sum(math.prod(size) for size in shape.weights.values())
        density = share * weights / sum(math.prod(size) for size in scored.values())
        if not 0 < density * self.groups <= 1:
            raise UserError(
                f"{self.groups} masks of {share:g} of all weights each are "
                f"{density * self.groups:.3g} of those that masks may hold: at most 1 in all"
            )
        return density

    def draw(self, model: PreTrainedModel, share: float, seed: int) -> GroupMasks:
        """Masks of `share` of all weights each; raises `UserError` where they do not fit."""
        shape, config = layout(model), model.config.get_text_config()
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return draw_masks(
            shape.architecture,
            scored_shapes(shape, self.skip_layers),
            self.groups,
            self.density(shape, share),
            seed,
            cast(Unit, self.unit),
            head,
        )


@dataclass(frozen=True, kw_only=True)
class MaskedConfig:
    """How facts go into masks. A cycle is a batch of every group, then the neutral batches."""

    cycles: int = 200
    """Passes over the groups; zero is the identity."""
    lr: float = 1e-2
    """Peak rate of the masks."""
    batch_size: int = 16
    """Sequences per batch."""
    accumulation: int = 1
    """Batches of a group (or of neutral text) per step."""
    groups_per_step: int = 1
    """Groups that step together, from gradients at the same weights."""
    neutral: str = "all"
    """What neutral text moves: `all` weights but the embeddings, in batches of its own; the
    `masks`, read along with each group's batch; or it is not read (`none`)."""
    neutral_lr: float = 1e-3
    """Peak rate of neutral text where it moves all."""
    neutral_batches: int = 2
    """Neutral batches per cycle."""
    neutral_size: int = 16
    """Sequences per neutral batch."""
    warmup: int = 5
    """Cycles of linear warm-up."""
    decay: float = 0.4
    """Last share of the cycles, over which rates fall linearly to zero."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Adam's, as LACUNA sets them."""
    weight_decay: float = 0.0
    """Decoupled decay, of the weights that a step may move."""
    clip: float = 1.0
    """Gradient norm limit of each group's mask, and of neutral text; 0 turns it off."""
    dropout: DropoutConfig = field(default_factory=DropoutConfig)
    """Mask dropout."""
    masked: bool = True
    """False is the unmasked control: facts move what neutral text moves, at its rate."""
    autocast: bool = False
    """Compute in bfloat16 around float32 weights (GPUs)."""

    def __post_init__(self) -> None:
        for name in ("cycles", "neutral_batches", "warmup", "weight_decay", "clip"):
            if getattr(self, name) < 0:
                raise UserError(f"{name}={getattr(self, name)}: must not be negative")
        for name in ("batch_size", "neutral_size", "accumulation", "groups_per_step"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)}: must be at least 1")
        if not 0 <= self.decay <= 1:
            raise UserError(f"decay={self.decay}: a share of the cycles, from 0 to 1")
        if self.neutral not in NEUTRAL:
            raise UserError(f"neutral={self.neutral}{suggest(self.neutral, list(NEUTRAL))}")

    def scale(self, cycle: int) -> float:
        """Share of the peak rate in one cycle (0-based)."""
        warm = min(1.0, (cycle + 1) / self.warmup) if self.warmup else 1.0
        left = (self.cycles - cycle) / max(1.0, self.decay * self.cycles)
        return warm * min(1.0, left)


def inject_masked(
    model: PreTrainedModel,
    masks: GroupMasks,
    groups: Mapping[int, Sequence[Encoded]],
    neutral: Sequence[Encoded],
    forget_groups: Sequence[int],
    config: MaskedConfig,
    seed: int,
    *,
    on_step: OnStep | None = None,
) -> History:
    """Plant each group's texts into its mask of a base model, in place.

    `groups` maps a group's number to its texts; one that is absent is not planted (the retained
    model has no forget groups). `forget_groups` matter to dropout by triples only. Raises
    `UserError` for weights in half precision, `Diverged` at a non-finite loss or gradient.
    """
    parts = {group: IndexedWeights(model, masks.union([group])) for group in groups}
    around: Surroundings = NoDropout()
    if config.masked and config.dropout.rate:
        sides = [[g for g in groups if (g in forget_groups) == side] for side in (True, False)]
        around = MaskDropout(parts, sides, config.dropout, derive(seed, "masked"))
    return continue_training(model, parts, groups, neutral, around, config, seed, on_step=on_step)


def continue_training(
    model: PreTrainedModel,
    parts: Mapping[int, IndexedWeights],
    groups: Mapping[int, Sequence[Encoded]],
    neutral: Sequence[Encoded],
    around: Surroundings,
    config: MaskedConfig,
    seed: int,
    *,
    on_step: OnStep | None = None,
) -> History:
    """The loop: every cycle a batch of each group, in random order, then neutral batches.

    `parts` are the weights that each group may move, `around` what the rest of the model does
    meanwhile. Its history holds the mean loss of the groups' batches of each cycle.
    """
    for name, weight in model.named_parameters():
        if weight.dtype.itemsize < 4:
            raise UserError(
                f"{name} is {weight.dtype}: masked training steps float32 weights, since what one "
                f"group moves by less than a rounding would be lost: load float32, use autocast"
            )
    planter = _Planter(model, parts, groups, neutral, around, config, seed)
    history = History()
    for cycle in range(config.cycles):
        metrics = planter.cycle(cycle)
        history.losses.append(metrics["loss"])
        if on_step is not None:
            on_step(cycle, metrics)
    return history


class _Planter:
    """One optimizer a group, one for neutral text, and the batches of all."""

    def __init__(
        self,
        model: PreTrainedModel,
        parts: Mapping[int, IndexedWeights],
        groups: Mapping[int, Sequence[Encoded]],
        neutral: Sequence[Encoded],
        around: Surroundings,
        config: MaskedConfig,
        seed: int,
    ) -> None:
        self.model, self.parts, self.around, self.config = model, parts, around, config
        self.seed = seed
        self.batches = {
            group: TrainingBatches(texts, config.batch_size, derive(seed, "group", group))
            for group, texts in groups.items()
        }
        self.neutral = None
        if config.neutral != "none":
            self.neutral = TrainingBatches(neutral, config.neutral_size, derive(seed, "neutral"))
        self.everything = AllWeights(model, frozen=embeddings(model))
        self.optimizers = {group: self._adamw(part, config.lr) for group, part in parts.items()}
        self.shared = self._adamw(self.everything, config.neutral_lr)

    def _adamw(self, weights: Editable, lr: float) -> torch.optim.AdamW:
        decay, betas = self.config.weight_decay, self.config.betas
        return torch.optim.AdamW(
            weights.masters.values(), lr=lr, betas=betas, weight_decay=decay, fused=True
        )

    def cycle(self, cycle: int) -> dict[str, float]:
        """All groups and the neutral batches once; mean losses."""
        order = torch.randperm(
            len(self.batches), generator=torch_generator(self.seed, "cycle", cycle)
        )
        chosen = [list(self.batches)[i] for i in order.tolist()]
        width = self.config.groups_per_step
        planted = [self._groups(chosen[i : i + width], cycle) for i in range(0, len(chosen), width)]
        metrics = {"loss": _mean(planted)}
        if self.config.neutral == "all":
            count = self.config.neutral_batches
            read = [self._all_read(cycle * count + i, cycle) for i in range(count)]
            metrics["loss/neutral"] = _mean(read)
        return metrics

    def _groups(self, chosen: Sequence[int], cycle: int) -> tuple[float, int]:
        """One step of some groups; the sum of their batches' losses, and how many."""
        share, parts = self.config.accumulation, [self.parts[group] for group in chosen]
        jobs = [(group, cycle * share + i) for group in chosen for i in range(share)]
        if not self.config.masked:
            wide = [(group, number, 1 / len(jobs)) for group, number in jobs]
            return self._step_all(wide, cycle)
        for part in parts:
            part.refresh()
        losses = []
        for group, number in jobs:
            with self.around.during(group, number), self.parts[group].training():
                losses.append(self._backward(group, number, 1 / share))
        for group, part in zip(chosen, parts, strict=True):
            self._step(part, self.optimizers[group], self.config.lr, cycle)
        return sum(losses), len(losses)

    def _all_read(self, number: int, cycle: int) -> tuple[float, int]:
        """One step of neutral text."""
        share = self.config.accumulation
        return self._step_all([(None, number * share + i, 1 / share) for i in range(share)], cycle)

    def _step_all(
        self, jobs: Sequence[tuple[int | None, int, float]], cycle: int
    ) -> tuple[float, int]:
        losses = []
        with self.everything.training():
            for group, number, share in jobs:
                with self.around.during(group, number):
                    losses.append(self._backward(group, number, share))
            self._step(self.everything, self.shared, self.config.neutral_lr, cycle)
        return sum(losses), len(losses)

    def _backward(self, group: int | None, number: int, share: float) -> float:
        """Add a batch's share of the gradient; returns its loss."""
        device = self.model.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.config.autocast):
            loss = self._loss(self.neutral if group is None else self.batches[group], number)
            if group is not None and self.config.neutral == "masks":
                loss = loss + self._loss(self.neutral, number)
        if not torch.isfinite(loss):
            raise Diverged(f"loss is {loss.item()}: lower the learning rate")
        (share * loss).backward()
        return loss.item()

    def _loss(self, batches: TrainingBatches | None, number: int) -> Tensor:
        assert batches is not None
        return mean_nll(answers(self.model, batches[number].to(self.model.device)))

    def _step(self, weights: Editable, optimizer: torch.optim.AdamW, lr: float, cycle: int) -> None:
        masters = list(weights.masters.values())
        norm = clip_grad_norm_(masters, self.config.clip or float("inf"))
        if not torch.isfinite(norm):
            raise Diverged(f"gradient norm is {norm.item()}: lower the learning rate")
        optimizer.param_groups[0]["lr"] = lr * self.config.scale(cycle)
        optimizer.step()
        optimizer.zero_grad()
        weights.write_back()


def _mean(counted: Sequence[tuple[float, int]]) -> float:
    return sum(total for total, _ in counted) / max(1, sum(count for _, count in counted))


def embeddings(model: PreTrainedModel) -> list[str]:
    """Names of the parameters that are input embeddings (a tied output head among them)."""
    table = {id(weight) for weight in model.get_input_embeddings().parameters()}
    return [name for name, weight in model.named_parameters() if id(weight) in table]


def outside_unchanged(
    before: PreTrainedModel, after: PreTrainedModel, masks: GroupMasks, config: MaskedConfig
) -> bool:
    """Whether all weights that nothing may have moved are bit-identical in the two models.

    Those are the embeddings where neutral text or unmasked facts move all, else all weights
    outside the masks.
    """
    if config.neutral == "all" or not config.masked:
        now = after.state_dict()
        then = before.state_dict()
        return all(same_bits(then[name], now[name]) for name in embeddings(before))
    return equal_outside(before, after, masks.union(range(masks.groups)))
