"""The README's figure: the verdict of a finished study as forest plots, in one SVG.

    .venv/bin/python docs/figure.py [artifacts/lacuna]

Reads `results.json` and writes `docs/figures/STUDY.svg`: what the page of the study shows of the
claims about the true region, as a file of its own.
"""

import sys
from pathlib import Path

from markupsafe import Markup

from lacuna.report.figure import Palette
from lacuna.report.figures.effects import Effects
from lacuna.report.svg import WIDE, element, join, text
from sweeps.results.rebuild import read

ROOT = Path(__file__).resolve().parents[1]
SHOWN = 2
"""Panels: Lee et al.'s claim and LACUNA's."""
TITLE, GAP = 24, 16
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
    parts, top = [element("style", Markup(STYLE))], 0
    for panel in list(Effects.panels(read(folder), Palette.over([])))[:SHOWN]:
        title = element("text", panel.title, x="8", y=str(top + 16), class_="title")
        height = int(panel.chart.partition(f'viewBox="0 0 {WIDE:g} ')[2].partition('"')[0])
        place = f'<svg y="{top + TITLE}" width="{WIDE:g}" height="{height}" '
        parts += [title, Markup(str(panel.chart).replace("<svg ", place, 1))]
        top += TITLE + height + GAP
    parts.append(text(8, top + 4, NOTE, "start"))
    box = {"width": f"{WIDE:g}", "height": str(top + 16), "viewBox": f"0 0 {WIDE:g} {top + 16}"}
    space = "http://www.w3.org/2000/svg"
    return f"{element('svg', join(parts), xmlns=space, role='img', aria_label=NOTE, **box)}\n"


if __name__ == "__main__":
    study = Path(sys.argv[1] if len(sys.argv) > 1 else "artifacts/lacuna")
    target = ROOT / "docs" / "figures" / f"{study.name}.svg"
    target.parent.mkdir(exist_ok=True)
    target.write_text(figure(study))
    print(target.relative_to(ROOT))
