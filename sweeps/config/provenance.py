"""Where each value of a composed study comes from: a default, a file, or the command line."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from sweeps.config.compose import configure
from sweeps.config.groups import FOLDER, load
from sweeps.config.schema import register

DEFAULT = "default"
TYPED = "command line"
FITTED = "fitted to resources.gpu_memory"


@dataclass(frozen=True)
class Value:
    """One key of a composed study."""

    key: str
    value: object
    source: str
    """`default` (of the code), a file below sweeps/config, `command line`, or what changed it."""


def values(overrides: Sequence[str]) -> list[Value]:
    """Every key of the study that `key=value` arguments describe, in the order of the schema.

    Raises `UserError` as `configure` does.
    """
    composed = _composed(overrides)
    sources = dict(_sources(overrides))
    if composed["resources.gpu_memory"] is not None:
        unfitted = _composed([*overrides, "resources.gpu_memory=null"])
        changed = {key for key, value in composed.items() if value != unfitted[key]}
        sources |= dict.fromkeys(changed - {"resources.gpu_memory"}, FITTED)
    return [Value(key, value, sources.get(key, DEFAULT)) for key, value in composed.items()]


def _composed(overrides: Sequence[str]) -> dict[str, object]:
    return dict(_flat(asdict(configure(overrides))))


def _flat(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """(dotted key, value) of every leaf; lists and empty mappings are leaves."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _sources(overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(key, source) of what is not a default; the last one of a key is the one that counts.

    Hydra itself says in which order it merges what; its files are read here once more.
    """
    register()
    with initialize_config_module("sweeps.config", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        merged = loader.compute_defaults_list("config", list(overrides), RunMode.RUN)
    yield "data.name", "config.yaml"
    for group, choice in merged.overrides.override_metadata.items():
        if group == "data":
            file = f"{choice.containing_config_path}.yaml"
            yield "data.name", TYPED if choice.external_override else file
    for part in merged.defaults:
        file = f"{part.config_path}.yaml"
        if (FOLDER / file).is_file():
            tree = {name: v for name, v in load(part.config_path).items() if name != "defaults"}
            for key, _ in _flat(tree, f"{part.package}." if part.package else ""):
                yield key, file
    for override in merged.config_overrides:
        for key, _ in _flat({override.key_or_group: override.value()}):
            yield key, TYPED
