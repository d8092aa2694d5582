"""From the command line to a checked, resolved study."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lacuna.data import DATA
from lacuna.errors import UserError
from sweeps.config.groups import check_files, check_words, names
from sweeps.config.keys import keys
from sweeps.config.schema import Study, build, build_attack, register


def configure(overrides: Sequence[str]) -> DictConfig:
    """Compose the study that `key=value` arguments describe; paths become absolute.

    Raises `UserError` in one line for an unknown key, name or value, with what may have been meant.
    """
    check_words(overrides)
    check_files(frozenset(DATA))
    register()
    try:
        with initialize_config_module("sweeps.config", version_base="1.3"):
            config = compose("config", overrides=list(overrides))
        OmegaConf.resolve(config)
        fit_batches(config)
        _build(config)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(error, overrides)) from error
    for holder, key in ((config, "artifacts"), (config.data, "path"), (config.region, "file")):
        if holder.get(key):
            holder[key] = str(Path(holder[key]).absolute())
    if config.store and "://" not in config.store:
        config.store = str(Path(config.store).absolute())
    source = config.model.source
    if source == "":
        raise UserError("model=hub names no model: add model.source=NAME or model.source=FOLDER")
    if source is not None and Path(source).is_dir():
        config.model.source = str(Path(source).absolute())
    return config


def per_model(overrides: Sequence[str]) -> list[tuple[str | None, list[str]]]:
    """Overrides for each model of `model=A,B`, with its name; else all of them, unnamed."""
    for place, override in enumerate(overrides):
        key, _, value = override.partition("=")
        if key == "model" and "," in value:
            listed = [name for name in value.split(",") if name]
            return [
                (name, [*overrides[:place], f"model={name}", *overrides[place + 1 :]])
                for name in listed
            ]
    return [(None, list(overrides))]


def fit_batches(config: DictConfig) -> None:
    """Cut training batches to what a GPU of `resources.gpu_memory` GB takes, in place.

    As many are accumulated as make up the batch that was asked for, so a step reads the same texts;
    its loss is then the mean over parts of their token means.
    """
    memory, table = config.resources.gpu_memory, dict(config.resources.sequences)
    if memory is None:
        return
    fitting = [limit for size, limit in table.items() if float(size) <= memory]
    if not fitting:
        sizes = ", ".join(sorted(table, key=float)) or "no size"
        raise UserError(
            f"resources.gpu_memory={memory:g}: resources.sequences names {sizes}: give a larger "
            f"GPU, or add +resources.sequences.SIZE=SEQUENCES"
        )
    recipe = config.retained.recipe
    for train in (recipe.train, config.inject.train, config.unlearn.train, config.attack.train):
        size = train.batch_size
        train.batch_size = max(n for n in range(1, size + 1) if size % n == 0 and n <= max(fitting))
        train.accumulation *= size // train.batch_size


def _build(config: DictConfig) -> None:
    """Every `Config` once: keys added with + and values out of bounds are refused here."""
    plain: Any = OmegaConf.to_container(config)
    build(Study, plain)
    build_attack(plain["attack"])
    values = {name: value for name, value in plain["data"].items() if name != "name"}
    build(DATA[plain["data"]["name"]].Config, values)


def _explain(error: Exception, overrides: Sequence[str]) -> str:
    """One line for a person: the argument, and the nearest thing that exists."""
    text = " ".join(str(error).split())
    cause = " ".join(str(error.__cause__ or "").split())
    if found := re.search(r"Could not (?:find|load) '(\w+)/([^']+)'", text):
        group, name = found.groups()
        return f"unknown {group} {name!r}{_nearest(name, _choices(group))}"
    if found := re.search(r"Could not override '([^']+)'", text):
        key = found.group(1)
        return f"unknown key {key!r}{_nearest(key, sorted(set(_keys())))}"
    if found := re.search(r"Key '[^']+' not in .* full_key: (\S+)", text):
        return f"unknown key {found.group(1)!r}{_nearest(found.group(1), sorted(set(_keys())))}"
    guilty = [o for o in overrides if o.split("=")[0].lstrip("+~") in text + cause]
    guilty = guilty or ([*overrides] if len(overrides) == 1 else [])
    where = f"argument {guilty[0]!r}: " if guilty else ""
    return f"{where}{re.split(' (?:full_key:|See https)', cause or text)[0]}"


def _choices(group: str) -> list[str]:
    return sorted(DATA) if group == "data" else names(group)


def _nearest(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f": did you mean {' or '.join(map(repr, close))}?"
    return f": choose one of {', '.join(name for name in known if '.' not in name)}"


def _keys() -> Iterator[str]:
    """Keys of the schema, those of every data source among them, and of the default study."""
    yield from (key.name for key in keys())
    with initialize_config_module("sweeps.config", version_base="1.3"):
        yield from _flat(compose("config"), "")


def _flat(config: Any, prefix: str) -> Iterator[str]:
    for name in config:
        yield prefix + str(name)
        if not OmegaConf.is_missing(config, name) and isinstance(config[name], DictConfig):
            yield from _flat(config[name], f"{prefix}{name}.")
