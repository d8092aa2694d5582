"""The verdict as a forest plot: each primary claim's effect, its interval, and the margin."""

from collections.abc import Iterator, Mapping, Sequence

from lacuna.report.cells import ALIKE
from lacuna.report.claims.family import families
from lacuna.report.claims.judge import judge
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

    @staticmethod
    def panels(results: Results, palette: Palette) -> Iterator[Panel]:
        """In the order of the verdict; a claim without a difference has a row and no mark."""
        claims = [claim for claim in judge(results) if claim["role"] == "primary"]
        alike = _alike(results)
        for family in families():
            own = [claim for claim in claims if claim["family"] == family.name]
            if any(claim["effect"] is not None for claim in own):
                effects = [*map(_effect, own), *alike.get(family.name, ())]
                styles = {effect.style for effect in effects}
                legend = {**OUTCOMES, A_A: "A/A: random regions against each other"}
                yield Panel(
                    family.sentence,
                    forest_chart(family.sentence, family.difference, effects, own[0]["margin"]),
                    [(word, style) for style, word in legend.items() if style in styles],
                    wide=True,
                )


def _effect(claim: Claim) -> Effect:
    about = f"{claim['about']} (n={claim['n']})"
    return Effect(about, claim["verdict"], claim["effect"], claim["interval"])


def _alike(results: Results) -> Mapping[str, Sequence[Effect]]:
    """Family -> the A/A comparisons in the measure that it judges, an objective each."""
    judged = {metric.lower(): family.name for metric, _, family in JUDGED}
    found: dict[str, list[Effect]] = {}
    for record in sorted(results.comparisons, key=lambda r: (r["ratio"], r["objective"])):
        if record["scenario_a"] == ALIKE:
            about = f"{record['objective']} at {record['ratio']:g}, A/A (n={record['n_seeds']})"
            effect = Effect(about, A_A, record["diff"], record["interval"])
            found.setdefault(judged[record["metric"]], []).append(effect)
    return found
