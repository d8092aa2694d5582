"""Every test that may be skipped is named in `tests/SKIPS.md`, with what it needs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT
from support.needs import NEEDS

TESTS = ROOT / "tests"
ROW = re.compile(r"^\| `(\S+)::(\w+)` \| ([\w ]+) \|$", re.MULTILINE)
SKIPPING = {"skip", "skipif", "importorskip", "xfail", "skipTest"}


def sources() -> list[Path]:
    return sorted(TESTS.rglob("*.py"))


def needed() -> Iterator[tuple[str, str, str]]:
    """(file, test, need) of every `@needs(...)` in the suite."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "needs":
                    (name,) = mark.args
                    assert isinstance(name, ast.Constant), f"{path}:{mark.lineno}"
                    yield path.relative_to(TESTS).as_posix(), node.name, str(name.value)


def test_the_table_names_every_test_that_may_be_skipped_and_no_other() -> None:
    rows = ROW.findall((TESTS / "SKIPS.md").read_text())
    assert sorted(rows) == sorted(needed())
    assert {need for _, _, need in rows} == NEEDS.keys()


def test_the_table_gives_every_need_its_kind_and_reason() -> None:
    text = (TESTS / "SKIPS.md").read_text()
    for name, need in NEEDS.items():
        assert need.kind in ("privilege", "gpu", "tool", "data")
        assert f"| {name} | {need.kind} | {need.reason} |" in text


def skips(source: str) -> list[str]:
    """What a source calls or marks to have a test skipped, or not counted when it fails."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            found.append(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module == "pytest":
            found += [alias.name for alias in node.names]
    return [name for name in found if name in SKIPPING]


def test_nothing_is_skipped_in_another_way() -> None:
    found = {
        path.relative_to(TESTS).as_posix(): names
        for path in sources()
        if (names := skips(path.read_text()))
    }
    assert found == {"conftest.py": ["skip"]}


@pytest.mark.parametrize(
    "source",
    [
        'pytest.skip("later")',
        'x = pytest.mark.skipif(True, reason="")',
        'pytest.importorskip("x")',
        "from pytest import skip",
    ],
)
def test_another_way_would_be_noticed(source: str) -> None:
    assert skips(source)
