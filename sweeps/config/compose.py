"""From the command line to a checked, resolved study."""

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TypeVar, cast

from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from lacuna.artifacts import JsonObject
from lacuna.data import DATA
from lacuna.data.tokens import typed
from lacuna.errors import UserError
from lacuna.train import Optimisation
from sweeps.config.groups import check_files, check_words, groups, names
from sweeps.config.keys import keys
from sweeps.config.schema import Study, build, build_attack, named_config, register

T = TypeVar("T", bound=Optimisation)

REPLACED = {
    "inject.method": "protocol=full plants facts into all parameters, protocol=lee into a region",
    "unlearn.train.lr": "unlearn.lr=RATE fixes the rate of all trials, unlearn.lrs lists some",
    "attack.train.lr": "attack.relearn_lrs=[RATE,...] and attack.benign_lrs=[RATE,...] list rates",
    "attack.lora.train.lr": "attack.lora_lrs=[RATE,...] lists rates",
    "attack.train.save_every": "an attack is not resumed: leave it out",
    "attack.lora.train.save_every": "an attack is not resumed: leave it out",
}
"""Keys that were, or that one would expect -> what to write instead."""


def configure(overrides: Sequence[str]) -> Study:
    """The checked study that `key=value` arguments describe; paths become absolute.

    Raises `UserError` in one line for an unknown key, name or value, with what may have been meant.
    """
    check_words(overrides)
    check_files(frozenset(DATA))
    try:
        study = _checked(compose_keys(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(error, overrides)) from error
    if study.model.source == "":
        raise UserError("model=hub names no model: add model.source=NAME or model.source=FOLDER")
    return _absolute(fit_batches(study))


def _checked(config: DictConfig) -> Study:
    """Every `Config` is made: keys added with + and values out of bounds are refused here."""
    prompt = config.model.prompt
    for key, value in prompt.items():
        if isinstance(value, str):
            prompt[key] = typed(value)
    plain = cast(dict[str, JsonObject], OmegaConf.to_container(config))
    _check_fields(config, plain)
    data = plain["data"]
    study = OmegaConf.to_object(config)
    assert isinstance(study, Study)
    return replace(
        study,
        data=build(named_config(str(data["name"])), data),
        attack=build_attack(plain["attack"]),
    )


def _check_fields(config: DictConfig, plain: Mapping[str, object], prefix: str = "") -> None:
    """Raises `UserError` for a key that was added to a section and is no field of its class."""
    kind = OmegaConf.get_type(config)
    known = {field.name for field in fields(kind)} if is_dataclass(kind) else plain.keys()
    for name, value in plain.items():
        if name not in known:
            raise UserError(_unknown(prefix + name))
        if isinstance(value, dict):
            _check_fields(config[name], value, f"{prefix}{name}.")


def compose_keys(overrides: Sequence[str]) -> DictConfig:
    """All keys with their values, before they are made a `Study` and checked together.

    Hydra composes the words up to the last one that does more than set a key, once for all calls;
    those after it are set on a copy of what it composed, in their order, as Hydra would do.
    """
    words = OverridesParser.create().parse_overrides(list(overrides))
    more = [place for place, word in enumerate(words, 1) if not _only_sets(word)]
    last = max(more, default=0)
    config = deepcopy(_composed(tuple(overrides[:last]), frozenset(DATA)))
    for word in words[last:]:
        try:
            OmegaConf.update(config, word.key_or_group, word.value())
        except (ConfigAttributeError, ConfigKeyError) as error:
            raise HydraException(f"Could not override '{word.key_or_group}'") from error
    OmegaConf.resolve(config)
    return config


def _only_sets(word: Override) -> bool:
    """Whether it chooses no file, adds no key and takes none away."""
    return (
        word.type is OverrideType.CHANGE
        and word.package is None
        and word.key_or_group not in groups()
        and not word.is_sweep_override()
        and not word.is_hydra_override()
    )


@cache
def _composed(overrides: tuple[str, ...], data: frozenset[str]) -> DictConfig:
    """What Hydra makes of the files and of these words, for these data sources: the slow step."""
    register()
    with initialize_config_module("sweeps.config", version_base="1.3"):
        return compose("config", overrides=list(overrides))


def _absolute(study: Study) -> Study:
    """The same study from any working folder."""
    data, source, store = study.data, study.model.source, study.store
    if path := getattr(data, "path", None):
        data = replace(data, path=_path(path))
    if source is not None and Path(source).is_dir():
        source = _path(source)
    if store and "://" not in store:
        store = _path(store)
    file = study.region.file and _path(study.region.file)
    return replace(
        study,
        data=data,
        model=replace(study.model, source=source),
        region=replace(study.region, file=file),
        artifacts=_path(study.artifacts),
        store=store,
    )


def _path(path: str) -> str:
    return str(Path(path).absolute())


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


def fit_batches(study: Study) -> Study:
    """The study with training batches cut to what a GPU of `resources.gpu_memory` GB takes.

    As many are accumulated as make up the batch that was asked for, so a step reads the same texts;
    its loss is then the mean over parts of their token means.
    """
    memory, table = study.resources.gpu_memory, study.resources.sequences
    if memory is None:
        return study
    fitting = [limit for size, limit in table.items() if float(size) <= memory]
    if not fitting:
        sizes = ", ".join(sorted(table, key=float)) or "no size"
        raise UserError(
            f"resources.gpu_memory={memory:g}: resources.sequences names {sizes}: give a larger "
            f"GPU, or add +resources.sequences.SIZE=SEQUENCES"
        )
    limit, recipe = max(fitting), study.retained.recipe
    return replace(
        study,
        retained=replace(study.retained, recipe=replace(recipe, train=_cut(recipe.train, limit))),
        inject=replace(study.inject, train=_cut(study.inject.train, limit)),
        unlearn=replace(study.unlearn, train=_cut(study.unlearn.train, limit)),
        attack=replace(study.attack, train=_cut(study.attack.train, limit)),
    )


def _cut(train: T, limit: int) -> T:
    """The largest batches of at most `limit` sequences that divide the batch."""
    whole = train.batch_size
    size = max(n for n in range(1, whole + 1) if whole % n == 0 and n <= limit)
    return replace(train, batch_size=size, accumulation=train.accumulation * (whole // size))


def _explain(error: Exception, overrides: Sequence[str]) -> str:
    """One line for a person: the argument, and the nearest thing that exists."""
    text = " ".join(str(error).split())
    cause = " ".join(str(error.__cause__ or "").split())
    if found := re.search(r"Could not (?:find|load) '(\w+)/([^']+)'", text):
        group, name = found.groups()
        return f"unknown {group} {name!r}{_nearest(name, _choices(group))}"
    for unknown in (r"Could not override '([^']+)'", r"Key '[^']+' not in .* full_key: (\S+)"):
        if found := re.search(unknown, text):
            return _unknown(found.group(1))
    guilty = [o for o in overrides if o.split("=")[0].lstrip("+~") in text + cause]
    guilty = guilty or ([*overrides] if len(overrides) == 1 else [])
    where = f"argument {guilty[0]!r}: " if guilty else ""
    return f"{where}{re.split(' (?:full_key:|See https)', cause or text)[0]}"


def _unknown(key: str) -> str:
    if key in REPLACED:
        return f"{key} is no key: {REPLACED[key]}"
    return f"unknown key {key!r}{_nearest(key, sorted(set(_keys())))}"


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
    yield from _flat(compose_keys([]), "")


def _flat(config: DictConfig, prefix: str) -> Iterator[str]:
    for name in map(str, config):
        yield prefix + name
        if not OmegaConf.is_missing(config, name) and isinstance(config[name], DictConfig):
            yield from _flat(config[name], f"{prefix}{name}.")
