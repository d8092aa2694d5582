"""The named configurations: files of `sweeps/config`, by group (study, model, recipe, ...).

Only files are read here, so a mistyped name is answered before the library is loaded.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import product
from pathlib import PurePath

from omegaconf import OmegaConf

from lacuna.errors import UserError
from lacuna.registry import suggest

FOLDER: Traversable = files("sweeps.config")
CHOSEN = ("study", "model")
"""Groups whose file is chosen by name; the file of `data=` is the source's own `Config`."""


@cache
def groups(folder: Traversable = FOLDER) -> frozenset[str]:
    """The groups of which a word such as study=mini chooses one; that of `data` has no files."""
    return frozenset({"data"} | {entry.name for entry in folder.iterdir() if entry.is_dir()}) - {
        "__pycache__"
    }


def names(group: str, folder: Traversable = FOLDER) -> list[str]:
    """The choices of a configuration group that has files."""
    found = (PurePath(entry.name) for entry in (folder / group).iterdir())
    return sorted(path.stem for path in found if path.suffix == ".yaml")


def load(name: str, folder: Traversable = FOLDER) -> dict[str, object]:
    """A configuration file as it stands, by its name without suffix, such as `study/mini`."""
    with (folder / f"{name}.yaml").open(encoding="utf-8") as stream:
        loaded = OmegaConf.to_container(OmegaConf.load(stream), resolve=False)
    assert isinstance(loaded, dict)
    return {str(key): value for key, value in loaded.items()}


def check_words(words: Sequence[str]) -> None:
    """Raises `UserError` for a word that is not key=value, or names no study, model, ..."""
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or word.startswith("-"):
            raise UserError(f"argument {word!r} is not key=value: write for example study=mini")
        if key not in groups():
            continue
        listed = value.strip("'\"").split(",")
        known = None if key == "data" else names(key)
        for name in listed:
            if name == "" or not (known is None or name in known):
                raise UserError(f"unknown {key} {name!r}{suggest(name, known or [])}")
            if known is None and not name.isidentifier():
                raise UserError(f"{word}: the name of a data source, such as data=jsonl")


@cache
def check_files(data: frozenset[str], folder: Traversable = FOLDER) -> None:
    """Raises `UserError` for a file that no study ever reads, such as size/smoke-tfou.yaml.

    Groups that `config.yaml` marks optional are looked up by a name made of study, model and data,
    and a name without a file is skipped; so a misspelt file would be skipped too. A name with a
    variant behind it, such as tofu-batch32, is there to be chosen: epochs=tofu-batch32. `data`
    holds the names of all data sources.
    """
    known = {"data": data, **{group: names(group, folder) for group in CHOSEN}}
    for group, pattern in _optional(folder):
        filled = set(_filled(pattern, known))
        possible = set(filled)
        present = names(group, folder)
        if set(present) - possible:
            possible |= {name for file in present for name in _included(f"{group}/{file}", folder)}
        for name in present:
            if name not in possible and name.rpartition("-")[0] not in filled:
                raise UserError(
                    f"sweeps/config/{group}/{name}.yaml is never read, as no {pattern} has that "
                    f"name{suggest(name, sorted(possible))}"
                )


def _optional(folder: Traversable) -> Iterator[tuple[str, str]]:
    """Groups that `config.yaml` marks optional, each with its pattern: size, ${study}-${data}."""
    for entry in _defaults("config", folder):
        if isinstance(entry, dict):
            for key, pattern in entry.items():
                if key.startswith("optional "):
                    yield key.removeprefix("optional "), pattern


def _filled(pattern: str, known: Mapping[str, Collection[str]]) -> Iterator[str]:
    """A pattern's names for every combination of what its variables can be."""
    variables = re.findall(r"\$\{(\w+)\}", pattern)
    for values in product(*(known[variable] for variable in variables)):
        name = pattern
        for variable, value in zip(variables, values, strict=True):
            name = name.replace(f"${{{variable}}}", value)
        yield name


def _included(file: str, folder: Traversable) -> list[str]:
    """Files of the same group that a file builds on."""
    return [name for name in _defaults(file, folder) if isinstance(name, str)]


def _defaults(file: str, folder: Traversable) -> list[object]:
    """The entries of Hydra's list: file names, or {group: name}."""
    found = load(file, folder).get("defaults", [])
    assert isinstance(found, list)
    return found
