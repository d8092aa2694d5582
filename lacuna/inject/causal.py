"""Did injection put each group's facts where it says? The report that ships with a checkpoint.

A mask localises a group causally if restoring the mask to base takes that group's facts (own) and
leaves the others'. Own facts gone is no evidence by itself: a perturbation of the same size
elsewhere, or the loss of any other mask, may destroy them as well; so both are measured.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from lacuna.model_types import PreTrainedModel
from lacuna.region import GroupMasks, WeightRegion, draw_weights_outside
from lacuna.results import CausalReport, JointAblation
from lacuna.seeds import derive, torch_generator
from lacuna.train import IndexedWeights, Values, swapped


class Reading(NamedTuple):
    """What one state of the model knows."""

    groups: Mapping[int, float]
    """Mean extraction strength of each group's questions."""
    people: float | None
    """Mean extraction strength of people that the base model knew; None where nobody is known."""
    neutral: float
    """Token-mean NLL of neutral text that was never trained on."""


Read = Callable[[PreTrainedModel], Reading]


@dataclass(frozen=True, kw_only=True)
class CausalConfig:
    """What a checkpoint must meet to pass; measured figures are reported either way."""

    es_mean: float = 0.95
    """Least mean extraction strength after injection."""
    es_group: float = 0.90
    """Least extraction strength of every group after injection."""
    own: float = 0.05
    """Most that any group may keep once its own mask is restored."""
    others: float = 0.85
    """Least share of their strength that the other groups keep, mean over single ablations."""
    neutral: float = 0.1
    """Most that neutral loss may rise above the base model's."""


@dataclass(frozen=True)
class Causal:
    """The report. `own` and `others` have a number per ablated group, in order of the groups."""

    injected: Mapping[int, float]
    """Strength of each group after injection."""
    own: Sequence[float]
    """Strength of the ablated group."""
    others: Sequence[float | None]
    """Mean share of their injected strength that the other groups keep (None: they had none)."""
    joint: Mapping[str, JointAblation]
    """Forget or retain masks restored together: strength of `own` side, share `others` keep."""
    perturbed: Sequence[float | None]
    """Mean share that all groups keep when the group's change, shuffled, is added to as many
    weights outside all masks."""
    neutral: Mapping[str, float]
    """Held-out neutral loss of base and injected model."""
    people: Mapping[str, float | None]
    """Strength of base people in base and injected model."""
    failures: Sequence[str]
    """Each threshold that was missed, with both numbers."""

    @property
    def passed(self) -> bool:
        """Whether every threshold was met."""
        return not self.failures

    @property
    def label(self) -> str:
        """What stands wherever the checkpoint's numbers appear."""
        return "localized" if self.passed else f"not localized causally: {'; '.join(self.failures)}"

    def to_json(self) -> CausalReport:
        """Plain JSON values, label included."""
        return {
            "injected": {str(group): strength for group, strength in self.injected.items()},
            "own": [*self.own],
            "others": [*self.others],
            "joint": {**self.joint},
            "perturbed": [*self.perturbed],
            "neutral": {**self.neutral},
            "people": {**self.people},
            "failures": [*self.failures],
            "passed": self.passed,
            "label": self.label,
        }


def causal(
    model: PreTrainedModel,
    base: PreTrainedModel,
    masks: GroupMasks,
    forget_groups: Sequence[int],
    read: Read,
    config: CausalConfig,
    seed: int,
) -> Causal:
    """Ablate every group, both sides, and as much elsewhere; the model is left as it was.

    `read` measures a state of the model; every group that it reports is ablated.
    """
    start, intact = read(base), read(model)
    groups = list(intact.groups)
    alone = [_restored(model, base, masks, [group], read) for group in groups]
    others = [
        _kept(intact, found, [g for g in groups if g != group])
        for group, found in zip(groups, alone, strict=True)
    ]
    perturbed = []
    for group in groups:
        with _perturbed(model, base, masks, group, derive(seed, "perturb", group)):
            perturbed.append(_kept(intact, read(model), groups))
    own = [found.groups[group] for group, found in zip(groups, alone, strict=True)]
    return Causal(
        injected=intact.groups,
        own=own,
        others=others,
        joint=_joint(model, base, masks, forget_groups, read, intact),
        perturbed=perturbed,
        neutral={"base": start.neutral, "injected": intact.neutral},
        people={"base": start.people, "injected": intact.people},
        failures=_failures(start, intact, own, others, config),
    )


def _joint(
    model: PreTrainedModel,
    base: PreTrainedModel,
    masks: GroupMasks,
    forget_groups: Sequence[int],
    read: Read,
    intact: Reading,
) -> dict[str, JointAblation]:
    sides = {
        "forget": [g for g in intact.groups if g in forget_groups],
        "retain": [g for g in intact.groups if g not in forget_groups],
    }
    joint: dict[str, JointAblation] = {}
    for name, side in sides.items():
        rest = [g for g in intact.groups if g not in side]
        if side and rest:
            found = _restored(model, base, masks, side, read)
            own = float(np.mean([found.groups[g] for g in side]))
            joint[name] = {"own": own, "others": _kept(intact, found, rest)}
    return joint


def _restored(
    model: PreTrainedModel,
    base: PreTrainedModel,
    masks: GroupMasks,
    groups: Sequence[int],
    read: Read,
) -> Reading:
    weights = IndexedWeights(model, masks.union(groups))
    with swapped(weights, weights.read(base)):
        return read(model)


def _kept(intact: Reading, found: Reading, groups: Sequence[int]) -> float | None:
    """Mean share of their strength that `groups` keep; None where one never had any."""
    pairs = [(found.groups[g], intact.groups[g]) for g in groups]
    return float(np.mean([now / then for now, then in pairs])) if all(p[1] for p in pairs) else None


@contextmanager
def _perturbed(
    model: PreTrainedModel, base: PreTrainedModel, masks: GroupMasks, group: int, seed: int
) -> Iterator[None]:
    """Within the block the group's change, shuffled in each tensor, also stands elsewhere."""
    region = masks.union([group])
    own = IndexedWeights(model, region)
    change = {n: now - then for (n, now), then in _pairs(own.read(), own.read(base))}
    free = masks.union(range(masks.groups)).complement()
    place: WeightRegion = draw_weights_outside(region, free, seed)
    weights = IndexedWeights(model, place)
    shifted = {}
    for name, value in weights.read().items():
        order = torch.randperm(len(value), generator=torch_generator(seed, "order", name))
        shifted[name] = value + change[name][order.to(value.device)]
    with swapped(weights, shifted):
        yield


def _pairs(a: Values, b: Values) -> Iterator[tuple[tuple[str, torch.Tensor], torch.Tensor]]:
    return zip(a.items(), b.values(), strict=True)


def _failures(
    start: Reading,
    intact: Reading,
    own: Sequence[float],
    others: Sequence[float | None],
    config: CausalConfig,
) -> list[str]:
    """One clause a missed threshold; a number that is NaN misses it."""
    strengths = list(intact.groups.values())
    checks = [
        ("injected ES", float(np.mean(strengths)), ">=", config.es_mean),
        ("weakest group's ES", min(strengths), ">=", config.es_group),
        ("own ES after ablation", max(own), "<=", config.own),
        ("share that others keep", _mean(others), ">=", config.others),
        ("neutral loss above base", intact.neutral - start.neutral, "<=", config.neutral),
    ]
    return [
        f"{what} {found:.3f}, asked {sign} {limit:g}"
        for what, found, sign, limit in checks
        if not (found >= limit if sign == ">=" else found <= limit)
    ]


def _mean(values: Sequence[float | None]) -> float:
    """NaN where one is missing."""
    return float(np.mean([math.nan if value is None else value for value in values]))
