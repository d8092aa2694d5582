"""From the command line to a checked, resolved study."""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeVar, cast

from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from lacuna.artifacts import JsonObject
from lacuna.data import DATA
from lacuna.data.tokens import typed
from lacuna.errors import UserError
from lacuna.train import Optimisation
from sweeps.config.explain import REFUSALS, explain, parsable, place_of, unknown_key
from sweeps.config.groups import check_files, check_words, groups
from sweeps.config.ranges import check_bounds, check_values
from sweeps.config.schema import Study, build, build_attack, named_config, register

T = TypeVar("T", bound=Optimisation)


def configure(overrides: Sequence[str]) -> Study:
    """The checked study that `key=value` arguments describe; paths become absolute.

    Raises `UserError` in one line for an unknown key, name or value, with what may have been meant.
    """
    check_words(overrides)
    check_files(frozenset(DATA))
    words = parsable(overrides)
    try:
        study = _checked(compose_keys(words))
    except REFUSALS as error:
        raise UserError(explain(error, words, _tried)) from error
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
    check_values(plain)
    data = plain["data"]
    try:
        study = OmegaConf.to_object(config)
    except UserError as error:
        raise UserError(place_of(config, error)) from error
    assert isinstance(study, Study)
    made = replace(
        study,
        data=build(named_config(str(data["name"])), data),
        attack=build_attack(plain["attack"]),
    )
    check_bounds(plain)
    return made


def _tried(words: Sequence[str]) -> DictConfig:
    """The configuration that the words make, if a study can be made of it."""
    config = compose_keys(words)
    _checked(config)
    return config


def _check_fields(config: DictConfig, plain: Mapping[str, object], prefix: str = "") -> None:
    """Raises `UserError` for a key that was added to a section and is no field of its class."""
    kind = OmegaConf.get_type(config)
    known = {field.name for field in fields(kind)} if is_dataclass(kind) else plain.keys()
    for name, value in plain.items():
        if name not in known:
            raise UserError(unknown_key(prefix + name, compose_keys))
        if isinstance(value, dict):
            _check_fields(config[name], value, f"{prefix}{name}.")


def compose_keys(overrides: Sequence[str]) -> DictConfig:
    """All keys with their values, before they are made a `Study` and checked together.

    Hydra composes the words that choose files, wherever they stand, and all up to the last one that
    takes a key away, once for all calls; the others are set on a copy of what it composed, in their
    order, as Hydra would do.
    """
    overrides = parsable(overrides)
    words = OverridesParser.create().parse_overrides(overrides)
    last = max((n for n, word in enumerate(words, 1) if not _simple(word)), default=0)
    chosen = {n for n, word in enumerate(words) if n < last or word.key_or_group in groups()}
    config = deepcopy(_composed(tuple(overrides[n] for n in sorted(chosen)), frozenset(DATA)))
    for n, word in enumerate(words):
        if n not in chosen:
            _set(config, word)
    OmegaConf.resolve(config)
    return config


def _simple(word: Override) -> bool:
    """Whether it chooses a file, sets a key or adds one, and no more."""
    return (
        word.type in (OverrideType.CHANGE, OverrideType.ADD)
        and word.package is None
        and not word.is_sweep_override()
        and not word.is_hydra_override()
    )


def _set(config: DictConfig, word: Override) -> None:
    """Set or add a key, or refuse, as Hydra does."""
    key, value, adds = word.key_or_group, word.value(), word.is_add()
    try:
        there = adds and OmegaConf.select(config, key, throw_on_missing=False) is not None
        if there and not isinstance(value, dict | list):
            raise HydraException(f"Could not append to config. An item is already at '{key}'")
        OmegaConf.update(config, key, value, force_add=adds)
    except (ConfigAttributeError, ConfigKeyError) as error:
        raise HydraException(f"Could not override '{key}'") from error
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise HydraException(str(error)) from error


@cache
def _composed(overrides: tuple[str, ...], data: frozenset[str]) -> DictConfig:
    """What Hydra makes of the files and of these words, for these data sources: the slow step."""
    register()
    with initialize_config_module("sweeps.config", version_base="1.3"):
        try:
            return compose("config", overrides=list(overrides))
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            if isinstance(error, (*REFUSALS, UserError)):
                raise
            raise HydraException(str(error)) from error


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
    return str(Path(path).expanduser().absolute())


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
    for size in table:
        if not re.fullmatch(r"\d+(\.\d+)?", size):
            raise UserError(f"resources.sequences.{size}: name it by the GB of a GPU, such as 24")
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
