"""The unit of a study: a keyed stage."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lacuna.artifacts import digest

VERSIONS: dict[str, int] = {}
"""Bumped, per kind, when a stage's numbers may change."""


@dataclass(frozen=True)
class Stage:
    """One expensive result: what it is, what it depends on, what it needs to run."""

    kind: str
    label: str
    """For people: `injected seed=1 ratio=0.1`."""
    params: Mapping[str, Any]
    """JSON values: all of the resolved configuration that the result depends on."""
    inputs: Mapping[str, str]
    """Role -> key of a parent stage."""
    tags: Mapping[str, str]
    """Columns of the tracking UI."""
    cpus: float = 1.0
    gpus: float = 0.0
    workers: int = 0
    """Processes that share these, connected by Ray Train; 0: one plain task."""
    context: Mapping[str, Any] = field(default_factory=dict)
    """JSON values that a worker needs but the result does not depend on: paths, devices."""

    @property
    def key(self) -> str:
        """sha256 over everything the result depends on, as 64 hex digits."""
        return digest([self.kind, VERSIONS.get(self.kind, 1), dict(self.params), dict(self.inputs)])
