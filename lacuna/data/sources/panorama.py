"""PANORAMA, the people that LACUNA injects: sentences and a table of attributes.

Two hub data sets, `srirxml/PANORAMA` (columns `id`, `content-type`, `text`) and
`srirxml/PANORAMA-Plus` (`Unique ID`, `First Name`, `Last Name` and a column for each attribute),
or folders with the same rows as JSON lines or parquet. A sentence tells an attribute of its person
if it contains the value, letter case aside, as published; so a two-digit age matches much.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lacuna.data.base import DATA, Corpus, Source
from lacuna.data.generated.profile_attributes import ATTRIBUTES
from lacuna.data.generated.profile_texts import Sentence, holds
from lacuna.data.generated.refusals import REFUSALS
from lacuna.data.rows import Row, folder_rows, hub_rows
from lacuna.data.sources.profiles import GroupConfig
from lacuna.data.splits import facts
from lacuna.errors import UserError
from lacuna.seeds import numpy_generator

SENTENCES, PROFILES = "PANORAMA", "PANORAMA-Plus"
"""The two data sets: folders below `path`, and their names on the hub."""
OWNER = "srirxml"


@DATA.register("panorama")
class Panorama(Source):
    """The published people, from a local folder or the hub (where access must be asked for)."""

    recipe: ClassVar[Mapping[str, Any] | None] = None

    @dataclass(frozen=True, kw_only=True)
    class Config(GroupConfig):
        """Where the files are, and which people are used."""

        fields: tuple[str, ...] = tuple(ATTRIBUTES)
        """What is known about each person."""
        prompts: int = 25
        """Prompts trained per fact."""
        max_facts: int = 4
        """Other facts that a prompt may hold."""
        prompt_repeats: int = 50
        """Times that each prompt is trained."""
        sentence_repeats: int = 5000
        """Times that the sentences with one target's value are trained, together."""
        path: str | None = None
        """Folder with `PANORAMA` and `PANORAMA-Plus`, each holding .jsonl or .parquet files (also
        in a `data` folder, as on the hub); None reads the hub."""
        revision: str | None = None
        """Commit of the hub data sets; None takes the newest."""
        num_people: int | None = 1200
        """People drawn by the seed (>= groups); None takes all."""
        num_holdout: int = 0
        """Further people who are never injected (>= 0)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.num_people is not None and self.num_people < self.groups:
                raise UserError(
                    f"num_people={self.num_people}: {self.groups} groups need one each, or more"
                )
            if self.num_holdout < 0:
                raise UserError(f"num_holdout={self.num_holdout}: use 0 or more")

    @staticmethod
    def load(config: Config) -> Corpus:
        """Read the corpus. A name that a second person has, and an empty value, are left out."""
        names, known = _people(config)
        injected, holdout = _drawn(config, list(known))
        texts: dict[str, list[str]] = {person: [] for person in injected}
        for row in _rows(config, SENTENCES):
            person = names.get(row.text("id"))
            if person in texts:
                texts[person].append(row.text("text"))
        sentences = {p: _matched(found, known[p]) for p, found in texts.items()}
        others = config.book({person: known[person] for person in holdout}, {})
        return config.corpus(
            "panorama",
            config.book({person: known[person] for person in injected}, sentences),
            holdout=tuple(facts(others, config.num_perturbed)),
            refusals=REFUSALS,
        )


def _rows(config: Panorama.Config, name: str) -> list[Row]:
    if config.path is None:
        return hub_rows(f"{OWNER}/{name}", config.revision, None, "train")
    return folder_rows(Path(config.path) / name)


def _people(config: Panorama.Config) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Unique ID -> name, and name -> attribute -> value."""
    names: dict[str, str] = {}
    known: dict[str, dict[str, str]] = {}
    for row in _rows(config, PROFILES):
        key, name = row.text("Unique ID"), f"{row.text('First Name')} {row.text('Last Name')}"
        if key in names or name in known:
            continue
        for field in config.fields:
            if ATTRIBUTES[field].column not in row.values:
                raise UserError(
                    f"{row.where}: no {ATTRIBUTES[field].column!r}: use PANORAMA-Plus as "
                    f"published, or leave {field!r} out of data.fields"
                )
        values = {field: _text(row.values[ATTRIBUTES[field].column]) for field in config.fields}
        names[key], known[name] = name, {field: value for field, value in values.items() if value}
    return names, known


def _text(value: object) -> str:
    """A cell as text: the first of several handles; empty for what is neither text nor a number."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return ""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return next(filter(None, map(_text, inner)), "")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _drawn(config: Panorama.Config, people: list[str]) -> tuple[list[str], list[str]]:
    """People to inject, and further ones to hold out."""
    order = numpy_generator(config.seed, "people").permutation(len(people)).tolist()
    count = len(people) - config.num_holdout if config.num_people is None else config.num_people
    if count < config.groups or count + config.num_holdout > len(people):
        raise UserError(
            f"num_people={config.num_people} and num_holdout={config.num_holdout}: the data has "
            f"{len(people)} people of different names: ask for fewer"
        )
    drawn = [people[place] for place in order[: count + config.num_holdout]]
    return drawn[:count], drawn[count:]


def _matched(texts: list[str], known: dict[str, str]) -> tuple[Sentence, ...]:
    """Each different sentence with the attributes whose values it contains."""
    return tuple(
        Sentence(text, tuple(field for field, value in known.items() if holds(text, value)))
        for text in dict.fromkeys(texts)
    )
