"""Where an update changed a model, against the region that facts were planted in."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from lacuna.audit.precision import Comparison, precision
from lacuna.audit.rounded import rounded
from lacuna.localize import LOCALIZERS, Evidence, localize
from lacuna.model import LoadedModel, save_model
from lacuna.model_types import PreTrainedModel
from lacuna.region import Region, WeightRegion, load_masks, overlap, top
from lacuna.results import Overlap, PrecisionRecord
from lacuna.results.files import MASKS


class Moved(NamedTuple):
    """Where an update went."""

    change: Overlap | None
    """What moved most, as many vectors or weights as the region has (vectors: at most as many as
    moved), against the region; None where nothing moved."""
    precision: PrecisionRecord | None
    """All scores of single weights against the masks, where regions are single weights."""


def moved(
    out: Path,
    loaded: LoadedModel,
    injected: Path,
    before: Callable[[], PreTrainedModel],
    base: Callable[[], LoadedModel] | None,
    target: Region | WeightRegion,
) -> Moved:
    """How well what unlearning moved most finds the target region.

    `base` is the model before injection; without it, single weights have no scores of reversal.
    """
    if isinstance(target, WeightRegion):
        found = _weights(out, loaded, injected, base, target)
        rows = (row for row in found["scores"] if row["truth"] == "forget" and row["headline"])
        share = next(rows)["at_size"]  # as many as the region has: precision is recall
        return Moved(Overlap(precision=share, recall=share, by_layer=[]), found)
    changed = _vectors(loaded, before(), target)
    return Moved(None if changed is None else overlap(changed, target), None)


def _vectors(loaded: LoadedModel, before: PreTrainedModel, target: Region) -> Region | None:
    drift = LOCALIZERS["drift"](LOCALIZERS["drift"].Config())
    evidence = Evidence(loaded.model, (), (), seed=0, retained=before)
    scores = localize(evidence, [("drift", drift)], len(target))["drift"].scores
    count = sum(int((score > 0).sum()) for score in scores.values())
    return top(target.layout, scores, min(count, len(target))) if count else None


def _weights(
    out: Path,
    loaded: LoadedModel,
    injected: Path,
    base: Callable[[], LoadedModel] | None,
    target: WeightRegion,
) -> PrecisionRecord:
    """Against the forget region, and all masks, as they are and in bfloat16.

    A folder in `out` holds the weights meanwhile. The base model, too, is written as it was
    loaded: a hub's files may name tensors otherwise.
    """
    truths: dict[str, Region | WeightRegion] = {"forget": target}
    if (injected / MASKS).exists():
        masks = load_masks(injected / MASKS)
        truths["union"] = masks.union(range(masks.groups))
    with TemporaryDirectory(dir=out) as scratch:
        after, first = Path(scratch) / "after", Path(scratch) / "base"
        save_model(loaded, after)
        if base is not None:
            save_model(base(), first)
        pair = Comparison.open(injected, after, None if base is None else first)
        return {**precision(pair, truths), "bfloat16": rounded(pair, truths)}
