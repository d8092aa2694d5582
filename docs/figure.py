"""The README's figure: effects of a finished study `lacuna`, as a forest plot in SVG.

    python docs/figure.py [artifacts/lacuna]

Reads `verdict.json` and writes `docs/figures/lacuna.svg`: oracle minus random, with 95% interval
and the margin below which a difference counts as none.
"""

import json
import sys
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PANELS = (
    ("AUES to equal depth (more is better)", "region-matched", (-0.02, 0.02)),
    ("log-prob. of forgotten facts after relearning (less is better)", "erasure-logp", (-0.6, 0.6)),
)
"""Title, family of claims, and the range of the axis."""
ATTACK = "lora lr 0.003"
NAMES = {"graddiff": "GradDiff", "oraclegrad": "OracleGrad", "simnpo": "SimNPO"}
WIDTH, LABEL, ROW, TOP = 860, 250, 24, 34
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; } .t { font-weight: 600; }
.axis { stroke: #8c959f; } .band { fill: #8c959f; opacity: .18; }
line.e { stroke: #0969da; stroke-width: 2; } circle { fill: #0969da; }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } line.e { stroke: #58a6ff; }
circle { fill: #58a6ff; } }
"""


def rows(claims: list[dict[str, Any]], family: str) -> list[tuple[str, dict[str, Any]]]:
    """Label and claim of what is drawn; of attacks LoRA relearning, from both kinds of start."""
    found = []
    for claim in claims:
        if claim["family"] != family or claim["interval"] is None:
            continue
        about = claim["about"]
        if family == "erasure-logp" and ATTACK not in about:
            continue
        name = NAMES[about.split(" at ")[0]]
        start = ", own start" if family == "erasure-logp" else ""
        start = ", matched start" if "matched" in about else start
        found.append((f"{name}{start} (n = {claim['n']})", claim))
    return found


def panel(
    title: str, found: list[tuple[str, dict[str, Any]]], low: float, high: float, top: int
) -> list[str]:
    """One axis with a row a claim."""

    def x(value: float) -> float:
        inside = min(max(value, low), high)
        return LABEL + (inside - low) / (high - low) * (WIDTH - LABEL - 110)

    bottom = top + TOP + ROW * len(found)
    margin = found[0][1]["margin"]
    parts = [
        f'<text class="t" x="8" y="{top + 18}">{escape(title)}</text>',
        f'<rect class="band" x="{x(-margin):.1f}" y="{top + 26}" '
        f'width="{x(margin) - x(-margin):.1f}" height="{bottom - top - 24}"/>',
        f'<line class="axis" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{top + 26}" y2="{bottom + 2}"/>',
    ]
    for index, (label, claim) in enumerate(found):
        y = top + TOP + ROW * index + 10
        begin, end = claim["interval"]
        parts += [
            f'<text x="20" y="{y + 4}">{escape(label)}</text>',
            f'<line class="e" x1="{x(begin):.1f}" x2="{x(end):.1f}" y1="{y}" y2="{y}"/>',
            f'<circle cx="{x(claim["effect"]):.1f}" cy="{y}" r="4"/>',
            f'<text x="{WIDTH - 100}" y="{y + 4}">{claim["effect"]:+.3f}</text>',
        ]
    for value in (low, 0.0, high):
        anchor = f'x="{x(value):.1f}" y="{bottom + 18}" text-anchor="middle"'
        parts.append(f"<text {anchor}>{value:g}</text>")
    return parts


def figure(claims: list[dict[str, Any]]) -> str:
    """The whole SVG."""
    parts, top = [], 8
    for title, family, (low, high) in PANELS:
        found = rows(claims, family)
        parts += panel(title, found, low, high, top)
        top += TOP + ROW * len(found) + 38
    note = "Study lacuna: true region minus random region, 95% interval over seeds; grey: margin."
    body = "\n".join([*parts, f'<text x="8" y="{top + 8}">{escape(note)}</text>'])
    size = f'width="{WIDTH}" height="{top + 20}" viewBox="0 0 {WIDTH} {top + 20}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(note)}">\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


if __name__ == "__main__":
    study = Path(sys.argv[1] if len(sys.argv) > 1 else "artifacts/lacuna")
    target = ROOT / "docs" / "figures" / "lacuna.svg"
    target.parent.mkdir(exist_ok=True)
    target.write_text(figure(json.loads((study / "verdict.json").read_text())))
    print(target.relative_to(ROOT))
