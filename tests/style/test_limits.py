"""Sizes that keep the code readable: modules a folder, lines a file and a function, uses of Any."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from support import ROOT

PACKAGES = ("lacuna", "sweeps")
METHODS = {
    "lacuna/attack/attacks",
    "lacuna/data/sources",
    "lacuna/localize/localizers",
    "lacuna/report/figures",
    "lacuna/report/tables",
    "lacuna/unlearn/edits",
    "lacuna/unlearn/objectives",
    "lacuna/unlearn/wrappers",
}
"""Folders that hold methods, a file each."""


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def long_functions(text: str, most: int = 60) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= most:
            yield node.name


def test_a_folder_has_at_most_twelve_modules() -> None:
    folders: dict[str, int] = {}
    for path in sources():
        folder = path.parent.relative_to(ROOT).as_posix()
        folders[folder] = folders.get(folder, 0) + 1
    assert {f: n for f, n in folders.items() if n > 12 and f not in METHODS} == {}


def test_a_file_has_at_most_450_lines() -> None:
    lengths = {str(path): len(path.read_text().splitlines()) for path in sources()}
    assert {path: n for path, n in lengths.items() if n > 450} == {}


def test_a_function_fits_a_screen() -> None:
    assert [(str(p), f) for p in sources() for f in long_functions(p.read_text())] == []


def test_the_search_for_long_functions_bites() -> None:
    text = "def short():\n    pass\n\n\ndef long():\n" + "    x = 1\n" * 60
    assert list(long_functions(text)) == ["long"]


def test_the_orchestration_is_typed() -> None:
    texts = [path.read_text() for path in sources() if path.is_relative_to(ROOT / "sweeps")]
    assert sum(len(re.findall(r"\bAny\b", text)) for text in texts) <= 15
