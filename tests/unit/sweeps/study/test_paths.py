"""A study is refused before it starts where this user may not write its results."""

import os
from pathlib import Path

import pytest

from lacuna.errors import UserError
from sweeps import paths
from sweeps.config.compose import configure
from sweeps.paths import check_place


@pytest.fixture
def forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that this user may not write to (root may, everywhere)."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    monkeypatch.setattr(paths.os, "access", lambda path, mode: Path(path) != folder)
    return folder


def test_a_place_that_does_not_exist_yet_is_judged_by_its_parent(forbidden: Path) -> None:
    check_place(configure([f"artifacts={forbidden.parent}/not/yet"]))
    with pytest.raises(UserError, match="may not write to") as caught:
        check_place(configure([f"artifacts={forbidden}/not/yet"]))
    said = str(caught.value)
    assert said.startswith(f"user {os.getuid()} may not write to {forbidden}: ")
    assert "--user" in said and said.endswith("artifacts=") and "\n" not in said
    assert list(forbidden.iterdir()) == []


def test_a_store_is_judged_too_but_not_one_at_a_url(forbidden: Path) -> None:
    root = f"artifacts={forbidden.parent}"
    with pytest.raises(UserError, match="name another: store=$"):
        check_place(configure([root, f"store={forbidden}"]))
    check_place(configure([root, "store=s3://bucket/prefix"]))
