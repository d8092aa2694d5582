"""The mixing curve of every finished test trial: a row per alpha."""

from collections.abc import Iterator
from typing import Annotated

from lacuna.report.cells import (
    BASELINE,
    TrialKey,
    Value,
    by_parts,
    finished,
    region_of,
    tag,
    trials,
)
from lacuna.report.columns import KEYS, SEED, Place
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of
from lacuna.results import TrialRow


class CurveRow(Place):
    """One mixture of one trial."""

    seed: Annotated[int | None, SEED]
    region: Annotated[
        int | None,
        Column("Which of the seed's random regions, from 1; empty: another scenario"),
    ]
    alpha: Annotated[float, Column("Weight of the unlearned model in the mixture", "share")]
    fs: Annotated[
        float,
        Column(
            "Forget strength: 1 - mean extraction strength of the facts to forget", "", "higher"
        ),
    ]
    rs: Annotated[
        float,
        Column("Retain strength: mean extraction strength of the facts to keep", "", "higher"),
    ]
    mu: Annotated[
        float | None,
        Column("Model utility (TOFU): harmonic mean over the utility sets", "share", "higher"),
    ]
    fq: Annotated[
        float | None,
        Column(
            "Forget quality: p of a Kolmogorov-Smirnov test of truth ratios against the retained "
            "model's; 0: cannot be told apart",
            "log10 p",
            "higher",
        ),
    ]
    forget_em: Annotated[
        float | None, Column("Mean exact memorisation of the answers to forget", "share", "lower")
    ]
    forget_prob: Annotated[
        float | None, Column("Mean probability of the answers to forget", "share", "lower")
    ]
    keys: Annotated[list[str], KEYS]


@TABLES.register("curves")
class Curves(StudyTable):
    """Every measure at every mixing weight of the reported trials."""

    order = 120
    title = "Mixing curves"
    note = "alpha mixes the injected (0) with the unlearned model (1), inside the region only."
    columns = columns_of(CurveRow)
    show = False

    @staticmethod
    def rows(results: Results) -> Iterator[CurveRow]:
        """By cell, rate, seed and alpha."""
        for stage in sorted(filter(finished, trials(results.stages)), key=_place):
            summary = stage["summary"]
            curve = summary["curve"]
            for index, alpha in enumerate(summary["alphas"]):
                yield {
                    **TrialKey.of(stage).place,
                    "seed": tag(stage, "seed"),
                    "region": region_of(stage) if summary["scenario"] == BASELINE else None,
                    "alpha": alpha,
                    "fs": curve["fs"][index],
                    "rs": curve["rs"][index],
                    "mu": curve["mu"][index],
                    "fq": curve["fq"][index] if curve["fq"] else None,
                    "forget_em": curve["forget_em"][index],
                    "forget_prob": curve["forget_prob"][index],
                    "keys": [stage["key"]],
                }


def _place(stage: TrialRow) -> list[tuple[int, float, str]]:
    parts: tuple[Value, ...] = (*TrialKey.of(stage), tag(stage, "seed"), region_of(stage))
    return by_parts(parts)
