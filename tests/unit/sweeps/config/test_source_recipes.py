"""A data source without a file of settings brings its own for the embedded model."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from lacuna.data import DATA
from lacuna.data.base import Source
from sweeps.config.compose import configure


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> type[Source]:
    monkeypatch.setattr(DATA, "_items", dict(DATA))

    @DATA.register("brought")
    class Brought(Source):
        recipe: ClassVar[dict[str, Any]] = {"inject": {"train": {"steps": 7}}}

        @dataclass(frozen=True, kw_only=True)
        class Config:
            people: int = 3

    return Brought


def test_its_settings_are_on_top_of_those_for_a_users_own_facts(source: type[Source]) -> None:
    config, own = (
        configure(["study=mini", *words])
        for words in (["data=brought", "data.people=4"], ["data=jsonl", "data.path=any.jsonl"])
    )
    assert config.data.people == 4
    assert config.inject.train.steps == 7 != own.inject.train.steps
    assert config.inject.train.lr == own.inject.train.lr
    assert config.unlearn.lrs == own.unlearn.lrs and config.unlearn.lrs


def test_they_are_for_the_embedded_model_only(source: type[Source]) -> None:
    config = configure(["study=mini", "data=brought", "model=olmo2_1b", "unlearn.lr=1e-5"])
    assert config.inject.train.steps != 7
