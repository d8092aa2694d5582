"""Localization precision: do the weights that an update moved lie inside the true region?

Scores every weight that the region could hold, in two passes over the tensors (scales, then
scores), one tensor at a time. `raw` is the headline, fixed beforehand; the best of all scores is
reported as what it is, beside the best that updates without knowledge reach (`nulls`). LACUNA
reports the best alone, over tensors with both classes; here a tensor without weights of the region
counts too, as all outside.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lacuna.audit.auc import COARSE, EXACT, Tally, tally
from lacuna.audit.nulls import MAGNITUDE, NOISE, OBSERVED, RANDOM, UPDATES, updates
from lacuna.audit.scores import HEADLINE, SCORES, Change, computable
from lacuna.audit.stream import (
    Checkpoint,
    open_checkpoint,
    place,
    refuse_non_finite,
    require_alike,
)
from lacuna.errors import UserError
from lacuna.region import Region, WeightRegion, element_mask
from lacuna.results import BestScore, ChangedInside, PrecisionRecord, PrecisionScore, TensorArea

SHARES = {"0.1%": 0.001, "1%": 0.01, "5%": 0.05, "10%": 0.1}
"""Where precision is read: of the weights with the highest scores."""
EXACT_WEIGHTS = 2**17
"""Up to so many scored weights, AUCs are exact; beyond, by histogram with a stated error."""
Truth = Region | WeightRegion
Spreads = dict[tuple[str, int | None, str], dict[str, float]]
"""(update, layer, attention or MLP) -> standard deviations, see `Change.spread`."""
Moments = NDArray[np.float64]
"""(3,) count, sum, sum of squares."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The checkpoints of one update."""

    before: Checkpoint
    after: Checkpoint
    base: Checkpoint | None = None
    """The model before injection: for scores of reversal."""
    control: tuple[Checkpoint, Checkpoint] | None = None
    """Before and after the same unlearning of a model trained without masks: for contrasts."""
    seed: int = 0
    """Of the nulls."""

    def __post_init__(self) -> None:
        others = [one for one in (self.base, *(self.control or ())) if one is not None]
        require_alike(self.before, self.after, *others)

    @classmethod
    def open(
        cls,
        before: Path,
        after: Path,
        base: Path | None = None,
        control: Sequence[Path] = (),
        seed: int = 0,
    ) -> "Comparison":
        """From folders in hub layout; raises `UserError` as `open_checkpoint` does."""
        found = [open_checkpoint(folder) for folder in control]
        return cls(
            before=open_checkpoint(before),
            after=open_checkpoint(after),
            base=None if base is None else open_checkpoint(base),
            control=(found[0], found[1]) if found else None,
            seed=seed,
        )

    @property
    def scores(self) -> list[str]:
        """Names of the scores that can be computed."""
        have = {"base": self.base, "control": self.control}
        return computable(frozenset(name for name, one in have.items() if one is not None))

    def pair(self, name: str) -> tuple[Tensor, Tensor]:
        """One tensor before and after, in float32; raises `UserError` where it is not finite."""
        return _wide(self.before, name), _wide(self.after, name)

    def changes(self, name: str) -> Iterator[tuple[str, Change]]:
        """The update of one tensor and its nulls; raises `UserError` where it is not finite."""
        before, after = self.pair(name)
        base = _wide(self.base, name) if self.base else None
        control = None
        if self.control is not None:
            control = _wide(self.control[1], name) - _wide(self.control[0], name)
        for kind, moved in updates(before, after, self.after.dtypes[name], self.seed, name):
            yield kind, Change(before, moved, base, control)


def _wide(checkpoint: Checkpoint, name: str) -> Tensor:
    wide = checkpoint.read(name).float()
    if not torch.isfinite(wide).all():
        refuse_non_finite([checkpoint], name)
    return wide


def precision(comparison: Comparison, truths: Mapping[str, Truth]) -> PrecisionRecord:
    """Every score against every truth, with its nulls, as plain JSON values.

    scores: a row per truth and score: auc with its error bound, precision of the top 0.1, 1, 5 and
    10% and of as many as the truth has (`at_size`, which is also the recall there), and the same of
    both nulls and of |before|. best: the highest AUC over scores, and over the nulls' scores.
    tensors: the headline score by layer and component. inside: where changed weights and squared
    change lie. Raises `UserError` where a truth was made for another model.
    """
    names = scored(comparison.before, list(truths.values()))
    total = sum(math.prod(comparison.before.shapes[name]) for name in names)
    found = _Found(truths, EXACT if total <= EXACT_WEIGHTS else COARSE)
    spreads = _spreads(comparison, names)
    for name in names:
        found.add(comparison, name, spreads)
    return found.summary(comparison.scores, total, len(names))


def scored(checkpoint: Checkpoint, truths: Sequence[Truth]) -> list[str]:
    """Tensors that every truth could hold weights of.

    Raises `UserError` where there is none, or a truth was made for another model.
    """
    for truth in truths:
        truth.require_fit(checkpoint.layout)
    held = [
        set(truth.shapes)
        if isinstance(truth, WeightRegion)
        else {f"{module}.weight" for module in truth.layout.shapes}
        for truth in truths
    ]
    names = [name for name in checkpoint.shapes if all(name in one for one in held)]
    if not names:
        raise UserError("the regions have no tensor in common: nothing can be scored")
    return names


def _group(name: str) -> tuple[int | None, str]:
    layer, component = place(name)
    return layer, component.split(".")[0]


def _spreads(comparison: Comparison, names: Sequence[str]) -> Spreads:
    """Standard deviations by layer and attention or MLP: of |d|, and of |d| - |u|."""
    sums: dict[tuple[str, int | None, str], dict[str, Moments]] = defaultdict(dict)
    for name in names:
        for kind, change in comparison.changes(name):
            group = sums[kind, *_group(name)]
            values = {"d": change.size}
            if change.control is not None:
                values["contrast"] = change.size - change.control.abs()
            for what, scores in values.items():
                wide = scores.double()
                moments = np.array([wide.numel(), float(wide.sum()), float(wide.square_().sum())])
                group[what] = group.get(what, np.zeros(3)) + moments
    return {
        group: {what: _deviation(moments) for what, moments in found.items()}
        for group, found in sums.items()
    }


def _deviation(moments: Moments) -> float:
    count, total, squares = moments.tolist()
    return math.sqrt(max(squares / count - (total / count) ** 2, 0.0))


@dataclass
class _Found:
    """Tallies of all scores so far."""

    truths: Mapping[str, Truth]
    bits: int
    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)
    """(update, score)."""
    energy: list[float] = field(default_factory=list)
    """(1 + K,) squared change in all, and inside each truth."""
    tensors: list[TensorArea] = field(default_factory=list)

    def add(self, comparison: Comparison, name: str, spreads: Spreads) -> None:
        """Count one tensor."""
        shape = comparison.before.shapes[name]
        masks = [element_mask(truth, name, shape) for truth in self.truths.values()]
        inside = [mask for mask in masks if mask is not None]
        here: dict[str, Tally] = {}
        for kind, change in comparison.changes(name):
            change = replace(change, spread=spreads[kind, *_group(name)])
            for score in comparison.scores:
                counted = tally(SCORES[score].compute(change), inside, self.bits)
                self._count((kind, score), counted)
                if score == HEADLINE:
                    here[kind] = counted
            if kind == OBSERVED:
                self._count((MAGNITUDE, HEADLINE), tally(change.before.abs(), inside, self.bits))
                squares = change.size.double().square_()
                parts = [float(squares.sum()), *(float(squares[mask].sum()) for mask in inside)]
                held = self.energy or [0.0] * len(parts)
                self.energy = [a + b for a, b in zip(held, parts, strict=True)]
        self.tensors += [_tensor_row(name, t, here, k) for k, t in enumerate(self.truths)]

    def _count(self, place: tuple[str, str], counted: Tally) -> None:
        held = self.tallies.get(place)
        self.tallies[place] = counted if held is None else held + counted

    def summary(self, scores: Sequence[str], total: int, tensors: int) -> PrecisionRecord:
        """Everything found, as plain values."""
        rows = [self._row(name, k, score) for k, name in enumerate(self.truths) for score in scores]
        return {
            "headline": HEADLINE,
            "scored_weights": total,
            "scored_tensors": tensors,
            "exact": self.bits == EXACT,
            "scores": rows,
            "best": [_best(name, rows) for name in self.truths],
            "inside": [self._inside(name, k) for k, name in enumerate(self.truths)],
            "tensors": self.tensors,
        }

    def _row(self, truth: str, k: int, score: str) -> PrecisionScore:
        row: dict[str, object] = {"truth": truth, "score": score, "headline": score == HEADLINE}
        row["chance"] = self._share(k)
        for kind in UPDATES:
            row |= _measured("" if kind == OBSERVED else f"{kind}_", self.tallies[kind, score], k)
        row |= _measured(f"{MAGNITUDE}_", self.tallies[MAGNITUDE, HEADLINE], k)
        return cast(PrecisionScore, row)

    def _share(self, k: int) -> float:
        every, inside = self.tallies[OBSERVED, HEADLINE].counts[[0, 1 + k]].sum(axis=1)
        return float(inside / every)

    def _inside(self, truth: str, k: int) -> ChangedInside:
        """Changed weights as a set: how many are true, and how many of the true ones changed."""
        found = self.tallies[OBSERVED, HEADLINE]
        moved, size = changed(found), int(found.counts[1 + k].sum())
        every, hits = moved[0], moved[1 + k]
        energy, within = self.energy[0], self.energy[1 + k]
        return {
            "truth": truth,
            "share": self._share(k),
            "weights": size,
            "changed": every,
            "changed_inside": hits,
            "precision": hits / every if every else None,
            "recall": hits / size if size else None,
            "energy_inside": within / energy if energy else None,
        }


def changed(found: Tally) -> list[int]:
    """(1 + K,) weights whose raw score is not zero: all of them, then those inside each truth."""
    return [int(count) for count in found.counts[:, found.keys != 0].sum(axis=1)]


def _measured(prefix: str, found: Tally, k: int) -> dict[str, float | None]:
    area = found.auc(k)
    size = int(found.counts[1 + k].sum())
    tops = {**SHARES, "at_size": size / found.total}
    top = {name: found.precision(share, k) for name, share in tops.items()}
    return {
        f"{prefix}auc": None if area is None else area.value,
        f"{prefix}auc_error": None if area is None else area.error,
        **{f"{prefix}{name}": share.value for name, share in top.items()},
        f"{prefix}precision_error": max(share.error for share in top.values()),
    }


def _best(truth: str, rows: Sequence[PrecisionScore]) -> BestScore:
    """The highest AUC over the scores, and the highest that each null reaches with any of them."""
    here = [row for row in rows if row["truth"] == truth and row["auc"] is not None]
    if not here:
        return {"truth": truth, "score": None, "auc": None}
    best = max(here, key=lambda row: row["auc"] or 0.0)
    return {
        "truth": truth,
        "score": best["score"],
        "auc": best["auc"],
        "of_scores": len(here),
        "noise_auc": _highest(row["noise_auc"] for row in here),
        "random_auc": _highest(row["random_auc"] for row in here),
        "magnitude_auc": best["magnitude_auc"],
    }


def _highest(areas: Iterable[float | None]) -> float:
    return max(area for area in areas if area is not None)


def _tensor_row(name: str, truth: str, here: Mapping[str, Tally], k: int) -> TensorArea:
    layer, component = place(name)
    areas = {kind: found.auc(k) for kind, found in here.items()}
    values = {kind: None if area is None else area.value for kind, area in areas.items()}
    return {
        "truth": truth,
        "tensor": name,
        "layer": layer,
        "component": component,
        "auc": values[OBSERVED],
        "noise_auc": values[NOISE],
        "random_auc": values[RANDOM],
    }
