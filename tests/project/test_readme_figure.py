"""`docs/figure.py`: the verdict of a finished study as one SVG, the same bytes each time."""

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support import ROOT
from support.reports import study

from lacuna.artifacts import write_json
from lacuna.errors import UserError
from lacuna.report.figure import Palette
from lacuna.report.figures.effects import Effects
from sweeps.results.rebuild import keep

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def figure() -> Callable[[Path], str]:
    spec = spec_from_file_location("readme_figure", ROOT / "docs" / "figure.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    drawn: Callable[[Path], str] = module.figure
    return drawn


def test_it_holds_the_pages_panels_one_below_the_other(
    figure: Callable[[Path], str], tmp_path: Path
) -> None:
    keep(study(), tmp_path)
    write_json(tmp_path / "manifest.json", {})
    text = figure(tmp_path)
    assert text == figure(tmp_path)
    root = ElementTree.fromstring(text)
    panels = root.findall(f"{SVG}svg")
    shown = list(Effects.panels(study(), Palette.over([])))[:2]
    assert len(panels) == len(shown) > 0
    tops = [float(panel.attrib["y"]) for panel in panels]
    heights = [float(panel.attrib["height"]) for panel in panels]
    pairs = zip(tops, heights, tops[1:], strict=False)
    assert all(top + height <= below for top, height, below in pairs)
    assert tops[-1] + heights[-1] <= float(root.attrib["height"])
    said = " ".join(str(line.text) for line in root.findall(f"{SVG}text"))
    assert all(panel.title in said for panel in shown)
    assert max(len(str(line.text)) for line in root.findall(f"{SVG}text")) <= 64
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_a_folder_without_a_study_is_said(figure: Callable[[Path], str], tmp_path: Path) -> None:
    with pytest.raises((UserError, OSError)):
        figure(tmp_path)


def test_the_readmes_figure_is_a_whole_one() -> None:
    root = ElementTree.parse(ROOT / "docs" / "figures" / "lacuna.svg").getroot()
    assert len(root.findall(f"{SVG}svg")) == 2 and root.attrib["role"] == "img"
