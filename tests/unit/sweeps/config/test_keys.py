"""Keys, as `lacuna config --keys` and the pages made from it list them."""

from dataclasses import dataclass, field

import pytest

from lacuna.data import DATA
from lacuna.unlearn import OBJECTIVES
from sweeps.config.keys import Key, field_help, keys


@pytest.fixture(scope="module")
def known() -> list[Key]:
    return list(keys())


def test_every_key_has_help_and_a_place_of_its_own(known: list[Key]) -> None:
    assert [key.name for key in known if not key.help.strip()] == []
    places = [(key.name, key.only_with) for key in known]
    assert len(places) == len(set(places))


def test_keys_of_every_source_and_method_are_listed(known: list[Key]) -> None:
    assert {key.only_with for key in known} == {"", *(f"data={name}" for name in DATA)}
    sections = {key.name for key in known if key.section}
    assert {f"unlearn.options.{name}" for name in OBJECTIVES} <= sections


def test_a_key_has_type_default_and_help(known: list[Key]) -> None:
    found = {key.name: key for key in known if not key.only_with}
    assert (found["seeds"].type, found["seeds"].default) == ("list[int]", [1])
    assert (found["unlearn.lr"].type, found["unlearn.lr"].default) == ("float | None", None)
    assert found["inject.train.batch_size"].help.startswith("Sequences per batch")


def test_a_default_is_that_of_the_place_not_of_the_type(known: list[Key]) -> None:
    found = {key.name: key.default for key in known}
    assert found["inject.train.steps"] != found["attack.train.steps"]


@dataclass
class Base:
    """A base."""

    one: int = 1
    """Said once,
    over two lines."""
    silent: int = 2
    three: list[int] = field(default_factory=list)
    "Said of three."


@dataclass
class Derived(Base):
    """Says one thing anew."""

    silent: int = 3
    """No longer."""


def test_help_is_the_string_after_a_field_inherited_or_not() -> None:
    said = {"one": "Said once, over two lines.", "three": "Said of three."}
    assert field_help(Base) == said
    assert field_help(Derived) == {**said, "silent": "No longer."}
