"""The README's figure: the verdict of a finished study as forest plots, in one SVG.

    .venv/bin/python docs/figure.py [artifacts/lacuna]

Reads `results.json` and writes `docs/figures/STUDY.svg`: what the page of the study shows of the
claims about the true region, as a file of its own.
"""

import sys
from pathlib import Path
from textwrap import wrap

from markupsafe import Markup

from lacuna.report.figure import Palette
from lacuna.report.figures.effects import Effects
from lacuna.report.svg import FOREST, element, join
from sweeps.results.rebuild import read

ROOT = Path(__file__).resolve().parents[1]
SHOWN = 2
"""Panels: Lee et al.'s claim and LACUNA's."""
LINE, LETTERS, GAP = 16, 64, 16
"""Height of a line of text, its letters at most, and what stands between panels."""
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328; } .title { font-weight: 600; }
.axis { stroke: #8c959f; } .band { fill: #8c959f; opacity: .18; } .interval { stroke-width: 2; }
.holds line { stroke: #0a7d4f; } .holds circle { fill: #0a7d4f; }
.fails line { stroke: #b3261e; } .fails circle { fill: #b3261e; }
.undetermined line { stroke: #8a6100; } .undetermined circle { fill: #8a6100; }
.alike line { stroke: #8c959f; } .alike circle { fill: #8c959f; }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3; }
.holds line { stroke: #4cc38a; } .holds circle { fill: #4cc38a; }
.fails line { stroke: #ff8f85; } .fails circle { fill: #ff8f85; }
.undetermined line { stroke: #e3b341; } .undetermined circle { fill: #e3b341; } }
"""
NOTE = (
    "True region minus random region, mean over seeds with 95% interval. Grey band: margin. Green: "
    "the claim holds; red: it fails; ochre: open; grey: random regions against each other."
)


def figure(folder: Path) -> str:
    """The whole SVG."""
    parts, top = [element("style", Markup(STYLE))], 0.0
    for panel in list(Effects.panels(read(folder), Palette.over([])))[:SHOWN]:
        title, top = _lines(panel.title, top, "title")
        height = float(panel.chart.partition(f'viewBox="0 0 {FOREST:g} ')[2].partition('"')[0])
        place = f'<svg y="{top:g}" width="{FOREST:g}" height="{height:g}" '
        parts += [*title, Markup(str(panel.chart).replace("<svg ", place, 1))]
        top += height + GAP
    note, top = _lines(NOTE, top, "note")
    box = {"width": f"{FOREST:g}", "height": f"{top:g}", "viewBox": f"0 0 {FOREST:g} {top:g}"}
    space = "http://www.w3.org/2000/svg"
    whole = join([*parts, *note])
    return f"{element('svg', whole, xmlns=space, role='img', aria_label=NOTE, **box)}\n"


def _lines(said: str, top: float, kind: str) -> tuple[list[Markup], float]:
    """The text in lines below `top`, and where they end."""
    lines = wrap(said, LETTERS)
    shown = [
        element("text", line, x="8", y=f"{top + LINE * number:g}", class_=kind)
        for number, line in enumerate(lines, 1)
    ]
    return shown, top + LINE * len(lines) + LINE / 2


if __name__ == "__main__":
    study = Path(sys.argv[1] if len(sys.argv) > 1 else "artifacts/lacuna")
    target = ROOT / "docs" / "figures" / f"{study.name}.svg"
    target.parent.mkdir(exist_ok=True)
    target.write_text(figure(study))
    print(target.relative_to(ROOT))
