"""Names that are found, guessed, taken twice, and brought by packages that are installed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.plugins import install

from lacuna.errors import UserError
from lacuna.registry import Registry

SHELF = "from test_registry import TOOLS\n"
TOOLS: Registry[object] = Registry("tool")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages; what was imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "test_registry", sys.modules[__name__])
    monkeypatch.setitem(globals(), "TOOLS", Registry("tool"))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_a_name_is_found_and_a_misspelt_one_suggested() -> None:
    tools: Registry[object] = Registry("tool")
    tools.register("hammer")(len)
    assert dict(tools) == {"hammer": len} and "hammer" in tools and "saw" not in tools
    with pytest.raises(UserError, match="unknown tool 'hamer': did you mean 'hammer'"):
        tools["hamer"]
    with pytest.raises(UserError, match="unknown tool 'saw': choose one of hammer"):
        tools["saw"]


def test_a_name_is_taken_once_and_both_who_want_it_are_named() -> None:
    tools: Registry[object] = Registry("tool")
    tools.register("hammer")(Path)
    tools.register("hammer")(Path)  # the same, as when a module is imported again
    with pytest.raises(UserError, match=r"tool 'hammer' .* by pathlib.*Path and .*Registry"):
        tools.register("hammer")(Registry)


def test_a_plug_in_is_imported_at_the_first_look_and_not_before(installed: Path) -> None:
    source = SHELF + "TOOLS.register('saw')(object())\n"
    install(installed, "my-tools", {"lacuna.tools": {"any": "my_saw"}}, {"my_saw": source})
    assert "my_saw" not in sys.modules
    assert list(TOOLS) == ["saw"]
    assert sys.modules["my_saw"].TOOLS is TOOLS


def test_a_plug_in_may_look_at_what_is_known_while_it_is_imported(installed: Path) -> None:
    TOOLS.register("hammer")(len)
    source = SHELF + "TOOLS.register('saw')(TOOLS['hammer'])\n"
    install(installed, "my-tools", {"lacuna.tools": {"any": "my_saw"}}, {"my_saw": source})
    assert TOOLS["saw"] is len


def test_plug_ins_of_another_kind_are_left_alone(installed: Path) -> None:
    install(installed, "my-tools", {"lacuna.toys": {"any": "my_toy"}}, {"my_toy": "1 / 0\n"})
    assert list(TOOLS) == [] and "my_toy" not in sys.modules


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def broken(:\n", "SyntaxError"),
        ("from lacuna.registry import gone\n", "ImportError: cannot import name 'gone'"),
        ("import lacuna.registry\nlacuna.registry.gone\n", "AttributeError"),
    ],
)
def test_a_plug_in_that_cannot_be_imported_is_one_line_that_names_its_package(
    installed: Path, source: str, reason: str
) -> None:
    install(installed, "my-tools", {"lacuna.tools": {"saw": "my_saw"}}, {"my_saw": source})
    for _ in range(2):  # and again: half of what is known is never taken for all
        with pytest.raises(UserError) as caught:
            len(TOOLS)
        said = str(caught.value)
        assert "package my-tools (entry point saw = my_saw of lacuna.tools)" in said
        assert reason in said and "uninstall the package" in said and "\n" not in said


def test_a_plug_in_that_takes_a_known_name_is_refused_by_package(installed: Path) -> None:
    TOOLS.register("saw")(Path)
    source = SHELF + "@TOOLS.register('saw')\nclass Saw: pass\n"
    install(installed, "my-tools", {"lacuna.tools": {"saw": "my_saw"}}, {"my_saw": source})
    with pytest.raises(UserError) as caught:
        TOOLS["saw"]
    said = str(caught.value)
    assert "package my-tools" in said and "registered twice" in said and "my_saw.Saw" in said
