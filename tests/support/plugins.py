"""Packages that bring methods from outside, as an installer would leave them."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from support import ROOT

EXTENDING = ROOT / "docs" / "extending.md"
Points = Mapping[str, Mapping[str, str]]
"""Group of entry points -> name -> module."""


def install(folder: Path, package: str, points: Points, modules: Mapping[str, str]) -> None:
    """Put modules (path -> source) and the entry points of a package into `folder`.

    `folder` then has to be on `sys.path`, as a directory of installed packages is.
    """
    for name, source in modules.items():
        file = folder / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    sections = (
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in of.items())])
        for group, of in points.items()
    )
    (info / "entry_points.txt").write_text("\n\n".join(sections) + "\n")


def blocks(language: str) -> list[str]:
    """The code blocks of the page on extending Lacuna."""
    found = re.findall(rf"```{language}\n(.*?)```", EXTENDING.read_text(), flags=re.S)
    return [str(block) for block in found]


def documented() -> tuple[Points, dict[str, str]]:
    """Entry points and modules of the package that the page builds up, example by example."""
    (declared,) = blocks("toml")
    points = tomllib.loads(declared)["project"]["entry-points"]
    modules = {}
    for block in blocks("python"):
        title, source = block.split("\n", 1)
        modules[title.removeprefix("# ").removesuffix(".py")] = source
    return points, modules
