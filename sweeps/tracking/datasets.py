"""What a run worked on, as datasets for the tracking UI: the corpus, and the target region."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from lacuna.artifacts import digest
from lacuna.region import Region, WeightRegion, load_region
from lacuna.results.files import REGION
from sweeps.stage import Stage
from sweeps.tracking.records import Dataset


def corpus_of(stage: Stage) -> list[Dataset]:
    """The corpus that a stage reads, if any, as it was planned with."""
    if "corpus" not in stage.params or "data" not in stage.context:
        return []
    source = stage.context["data"]
    assert isinstance(source, Mapping)
    corpus: Dataset = {
        "name": str(source["name"]),
        "digest": stage.param("corpus", str),
        "role": "corpus",
        "source": source,
        "profile": {},
    }
    return [corpus]


def regions_in(folders: Iterable[Path]) -> list[Dataset]:
    """The target regions lying in published folders; equal regions have equal digests."""
    found: list[Dataset] = []
    for path in (folder / REGION for folder in folders):
        if path.exists():
            region = load_region(path)
            found.append(
                {
                    "name": "target region",
                    "digest": _identity(region),
                    "role": "target region",
                    "source": dict(region.origin),
                    "profile": {"fraction": region.fraction, **_profile(region)},
                }
            )
    return found


def _identity(region: Region | WeightRegion) -> str:
    if isinstance(region, WeightRegion):
        bits = {
            name: hashlib.sha256(b.numpy().tobytes()).hexdigest() for name, b in region.bits.items()
        }
        return digest([region.fingerprint, bits])
    columns = {name: chosen.tolist() for name, chosen in region.columns.items()}
    return digest([region.layout.fingerprint, columns])


def _profile(region: Region | WeightRegion) -> dict[str, object]:
    if isinstance(region, WeightRegion):
        return {"weights": len(region), "by_tensor": region.by_tensor()}
    return {"vectors": len(region), "by_layer": region.by_layer()}
