"""The unit of a study: a keyed stage."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar, get_args

from lacuna.artifacts import JsonObject, digest
from lacuna.results import Kind

T = TypeVar("T")

KINDS: tuple[Kind, ...] = get_args(Kind)
"""What stages do, in the order in which a study needs them."""
KEY_FORMAT = 1
"""Part of every key: another number gives every stage a new one."""


@dataclass(frozen=True)
class Stage:
    """One expensive result: what it is, what it depends on, what it needs to run."""

    kind: Kind
    label: str
    """For people: `injected seed=1 ratio=0.1`."""
    params: JsonObject
    """All of the resolved configuration that the result depends on."""
    inputs: Mapping[str, str]
    """Role -> key of a parent stage."""
    tags: Mapping[str, str]
    """Columns of the tracking UI."""
    cpus: float = 1.0
    """CPUs that it takes, and threads that it may use."""
    gpus: float = 0.0
    """GPUs that it takes: whole ones, or a share of one."""
    workers: int = 0
    """Processes that divide the CPUs and GPUs among them, through Ray Train; 0: a plain task."""
    context: JsonObject = field(default_factory=dict)
    """What a worker needs but the result does not depend on: paths, devices."""

    @cached_property
    def key(self) -> str:
        """sha256 over everything the result depends on, as 64 hex digits."""
        return digest([self.kind, KEY_FORMAT, dict(self.params), dict(self.inputs)])

    def param(self, name: str, kind: type[T]) -> T:
        """The parameter `name`, checked to be of this type."""
        value = self.params[name]
        assert isinstance(value, kind), f"{self.label}: {name}={value!r} is no {kind.__name__}"
        return value

    def path(self, name: str) -> str | None:
        """A text of the context, such as a path; None where there is none of this name."""
        value = self.context.get(name)
        assert value is None or isinstance(value, str), f"{self.label}: {name}={value!r}"
        return value
