"""Tiny packages that bring methods from outside, as an installer would leave them."""

from collections.abc import Mapping
from pathlib import Path


def install(
    folder: Path,
    package: str,
    points: Mapping[str, Mapping[str, str]],
    modules: Mapping[str, str],
) -> None:
    """Put modules and the entry points of a package (group -> name -> module) into `folder`.

    `folder` then has to be on `sys.path`, as a directory of installed packages is.
    """
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    sections = (
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in of.items())])
        for group, of in points.items()
    )
    (info / "entry_points.txt").write_text("\n\n".join(sections) + "\n")
