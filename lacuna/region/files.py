"""Region files of either kind: value vectors, or single weights."""

from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from lacuna.errors import UserError
from lacuna.model.value import Layout
from lacuna.region.base import Region, load_vectors
from lacuna.region.published import read_published, refuse_pickle
from lacuna.region.weights import GroupMasks, WeightRegion, read_masks

FORGET_GROUPS = (0, 2, 4)
"""LACUNA's forget groups of six (`precision_metrics.py`)."""


def load_region(
    path: Path, layout: Layout | None = None, groups: Sequence[int] = FORGET_GROUPS
) -> Region | WeightRegion:
    """A saved region; of a file of group masks, the union of `groups`.

    With `layout`, refuses one that was made for another model. Raises `UserError` where the file is
    missing, damaged, or holds pickled data.
    """
    metadata = _metadata(path)
    if "kind" not in metadata:
        return load_vectors(path, layout)
    masks = read_masks(path, metadata)
    if layout is not None:
        masks.require_fit(layout)
    return masks.union(groups) if isinstance(masks, GroupMasks) else masks


def load_masks(path: Path, layout: Layout | None = None) -> GroupMasks:
    """Saved masks of groups, read tensor by tensor; raises `UserError` like `load_region`.

    With `layout`, masks in LACUNA's published form are read too (`lacuna.region.published`).
    """
    metadata = _metadata(path)
    if layout is not None and not metadata.keys() & {"kind", "fingerprint"}:
        return read_published(path, layout)
    masks = read_masks(path, metadata) if metadata.get("kind") == "groups" else None
    if not isinstance(masks, GroupMasks):
        raise UserError(
            f"{path} holds no masks of groups: it has {metadata.get('kind', 'vectors')}"
        )
    if layout is not None:
        masks.require_fit(layout)
    return masks


def _metadata(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    refuse_pickle(path)
    try:
        with safe_open(path, framework="pt") as stream:
            return stream.metadata() or {}
    except SafetensorError as error:
        raise UserError(
            f"{path} is not a whole safetensors file ({error}): write it anew"
        ) from error
