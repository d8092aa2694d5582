"""The verdict as a forest plot: each primary claim's effect, its interval, and the margin."""

from collections.abc import Iterator, Mapping

from lacuna.report.cells import ALIKE
from lacuna.report.claims.family import families
from lacuna.report.claims.judge import judge
from lacuna.report.claims.places import named, shortened
from lacuna.report.claims.region import JUDGED
from lacuna.report.figure import FIGURES, Palette, Panel, StudyFigure
from lacuna.report.results import Results
from lacuna.report.svg import Effect, forest_chart
from lacuna.results import Claim

OUTCOMES = {"holds": "holds", "fails": "fails", "undetermined": "open"}
"""Verdict -> its word in the legend; the verdict is also the class that colours it."""
A_A = "alike"
"""Class of random regions against each other, where nothing can differ."""


@FIGURES.register("effects")
class Effects(StudyFigure):
    """A panel per family that has primary claims; random against random stands beside its own."""

    order = 5
    section = "verdict"

    @staticmethod
    def panels(results: Results, palette: Palette) -> Iterator[Panel]:
        """In the order of the verdict; a claim without a difference has a row and no mark."""
        claims = [claim for claim in judge(results) if claim["role"] == "primary"]
        for family in families():
            own = [claim for claim in claims if claim["family"] == family.name]
            if own:
                names, _ = shortened([claim["about"] for claim in own])
                effects = [
                    *map(_effect, own, names),
                    *_alike(
                        results,
                        family.name,
                        dict(zip((one["about"] for one in own), names, strict=True)),
                    ),
                ]
                styles = {effect.style for effect in effects}
                legend = {**OUTCOMES, A_A: "A/A: random regions against each other"}
                yield Panel(
                    family.sentence,
                    forest_chart(family.sentence, family.difference, effects, own[0]["margin"]),
                    [(word, style) for style, word in legend.items() if style in styles],
                )


def _effect(claim: Claim, name: str) -> Effect:
    """With why it has no value, where seeds failed or have none."""
    gone = len(claim["seeds"]) - claim["n"]
    missing = f"{gone} of {len(claim['seeds'])} seeds" if gone > 0 else "not compared"
    seeds = f"Seeds {' '.join(map(str, claim['seeds']))}. {OUTCOMES[claim['verdict']]}"
    tip = f"{seeds}: {claim['reason']}"
    about = f"{name} (n={claim['n']})"
    return Effect(about, claim["verdict"], claim["effect"], claim["interval"], missing, tip)


def _alike(results: Results, family: str, names: Mapping[str, str]) -> Iterator[Effect]:
    """The A/A comparisons in the measure that the family judges, an objective each.

    They are called as its claims are: `names` has the short name of each.
    """
    judged = {metric.lower(): one.name for metric, _, one in JUDGED}
    for record in sorted(results.comparisons, key=lambda r: (r["ratio"], r["objective"])):
        if record["scenario_a"] == ALIKE and judged[record["metric"]] == family:
            about = named(record["objective"], record["ratio"])
            name = f"{names.get(about, about)}, A/A (n={record['n_seeds']})"
            yield Effect(name, A_A, record["diff"], record["interval"])
