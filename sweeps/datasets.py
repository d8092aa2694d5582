"""What a run worked on, as datasets for the tracking UI: the corpus, and the target region."""

from collections.abc import Iterable
from pathlib import Path

from lacuna.artifacts import digest
from lacuna.region import load_vectors
from sweeps.graph import Stage
from sweeps.records import Data


def corpus_of(stage: Stage) -> list[Data]:
    """The corpus that a stage reads, if any, as it was planned with."""
    if "corpus" not in stage.params or "data" not in stage.context:
        return []
    source = stage.context["data"]
    role = {"role": "corpus", "profile": {}}
    return [{**role, "name": source["name"], "digest": stage.params["corpus"], "source": source}]


def regions_in(folders: Iterable[Path]) -> list[Data]:
    """The target regions lying in published folders; equal regions have equal digests."""
    found = []
    for path in (folder / "region.safetensors" for folder in folders):
        if path.exists():
            region = load_vectors(path)
            columns = {name: chosen.tolist() for name, chosen in region.columns.items()}
            found.append(
                {
                    "name": "target region",
                    "digest": digest([region.layout.fingerprint, columns]),
                    "role": "target region",
                    "source": dict(region.origin),
                    "profile": {
                        "vectors": len(region),
                        "fraction": region.fraction,
                        "by_layer": region.by_layer(),
                    },
                }
            )
    return found
