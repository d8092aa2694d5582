"""Where an update moved a model, held against the region that facts were planted in."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from lacuna.audit.precision import Comparison, precision
from lacuna.audit.stream import open_checkpoint
from lacuna.localize import LOCALIZERS, Evidence, localize
from lacuna.model import LoadedModel, save_model
from lacuna.region import Overlap, Region, WeightRegion, load_masks, overlap, top


class Moved(NamedTuple):
    """Where an update went."""

    change: Overlap | None
    """What moved most, as many vectors or weights as the region has (vectors: at most as many as
    moved), against the region; None where nothing moved."""
    precision: dict[str, Any] | None
    """All scores of single weights against the masks, where regions are single weights."""


def moved(
    out: Path,
    loaded: LoadedModel,
    injected: Path,
    before: Callable[[], LoadedModel],
    target: Region | WeightRegion,
) -> Moved:
    """How well what unlearning moved most finds the target region."""
    if isinstance(target, WeightRegion):
        found = _weights(out, loaded, injected, target)
        rows = (row for row in found["scores"] if row["truth"] == "forget" and row["headline"])
        share = next(rows)["at_size"]  # as many as the region has: precision is recall
        return Moved(Overlap(precision=share, recall=share, by_layer=[]), found)
    changed = _vectors(loaded, before(), target)
    return Moved(None if changed is None else overlap(changed, target), None)


def _vectors(loaded: LoadedModel, before: LoadedModel, target: Region) -> Region | None:
    drift = LOCALIZERS["drift"](LOCALIZERS["drift"].Config())
    evidence = Evidence(loaded.model, (), (), seed=0, retained=before.model)
    scores = localize(evidence, [("drift", drift)], len(target))["drift"].scores
    count = sum(int((score > 0).sum()) for score in scores.values())
    return top(target.layout, scores, min(count, len(target))) if count else None


def _weights(
    out: Path, loaded: LoadedModel, injected: Path, target: WeightRegion
) -> dict[str, Any]:
    """Against the forget region, and all masks; a folder in `out` holds the weights meanwhile."""
    after = out / "after"
    truths: dict[str, Region | WeightRegion] = {"forget": target}
    if (injected / "masks.safetensors").exists():
        masks = load_masks(injected / "masks.safetensors")
        truths["union"] = masks.union(range(masks.groups))
    try:
        save_model(loaded, after)
        pair = Comparison(before=open_checkpoint(injected), after=open_checkpoint(after))
        return precision(pair, truths)
    finally:
        shutil.rmtree(after, ignore_errors=True)
