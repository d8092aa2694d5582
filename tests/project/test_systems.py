"""The page of systems: every method of the library stands in it, and what it names exists."""

import re

import pytest
from support import ROOT

PAGE = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`(lacuna/[\w/.]+)`", PAGE))
FOLDERS = ("unlearn/objectives", "unlearn/edits", "unlearn/wrappers", "localize/localizers")
OURS = {
    *("restore", "oracle", "complement", "random", "random_layers", "dose", "norm", "gradient"),
    "balanced_norm",
    *("snip", "base", "strategy", "nullspace", "__init__"),
}
"""Controls, diagnostics and baselines that are no system of anybody, and what serves methods."""


def test_what_the_page_names_exists() -> None:
    assert len(NAMED) > 60
    assert [name for name in sorted(NAMED) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_method_stands_in_the_page(folder: str) -> None:
    files = {path.stem for path in (ROOT / "lacuna" / folder).glob("*.py")} - OURS
    named = {name.rpartition("/")[2].removesuffix(".py") for name in NAMED if folder in name}
    assert files - named == set()
    assert named <= files


def test_rows_have_as_many_cells_as_their_head() -> None:
    for table in re.findall(r"(?:^\|.*\n)+", PAGE, flags=re.M):
        assert len({row.count("|") for row in table.splitlines()}) == 1
