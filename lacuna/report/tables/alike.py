"""Random regions of a seed against each other: how often each test sees what is not there."""

from collections.abc import Iterator
from typing import Annotated

from typing_extensions import TypedDict

from lacuna.report.cells import ALIKE
from lacuna.report.columns import OBJECTIVE, RATIO
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of
from lacuna.results import ScenarioComparison
from lacuna.significance import p_value

LEVEL = 0.05


class AlikeRow(TypedDict):
    """One test of one measure where nothing can differ."""

    ratio: Annotated[float, RATIO]
    objective: Annotated[str, OBJECTIVE]
    metric: Annotated[
        str,
        Column(
            "`matched`: AUES to equal depth; `depth`: retain strength there; `aues`, `mu95`: as "
            "published"
        ),
    ]
    test: Annotated[str, Column("The test; those within a curve give a p for every seed")]
    diff: Annotated[
        float | None, Column("First random region minus the others, over seeds", "as the metric")
    ]
    n_tests: Annotated[int, Column("p-values that the test gave")]
    p: Annotated[float | None, Column("The least of them", "p")]
    significant: Annotated[
        float | None, Column(f"Share of them at or below {LEVEL}: {LEVEL} is right", "share")
    ]


@TABLES.register("alike")
class Alike(StudyTable):
    """The A/A comparison of a study with several random regions a seed."""

    order = 42
    title = "A/A: random regions against each other"
    note = (
        "No random region holds the facts: a significant difference between them is a false one. "
        "The tests over seeds should be significant in one cell of twenty; a test within one "
        "seed's curves answers another question (how constant the sign is along the curve) and "
        "may be so far more often. A cell says little by itself: read a test's rows together."
    )
    columns = columns_of(AlikeRow)
    optional = True

    @staticmethod
    def rows(results: Results) -> Iterator[AlikeRow]:
        """By comparison and test."""
        for record in results.comparisons:
            if record["scenario_a"] == ALIKE:
                for test, found in _tests(record).items():
                    p_values = [p for p in found if p is not None]
                    yield {
                        "ratio": record["ratio"],
                        "objective": record["objective"],
                        "metric": record["metric"],
                        "test": test,
                        "diff": record["diff"],
                        "n_tests": len(p_values),
                        "p": min(p_values, default=None),
                        "significant": sum(p <= LEVEL for p in p_values) / len(p_values)
                        if p_values
                        else None,
                    }


def _tests(record: ScenarioComparison) -> dict[str, list[float | None]]:
    """Test -> its p-values."""
    found: dict[str, list[float | None]] = {
        f"{record['interval_method']} over seeds": [p_value(record)],
        "block randomisation": [record["p_blocks"]],
        "sign-flip over seeds": [record["p_sign_flip"]],
    }
    if "p_alpha_permutation" in record:
        found["published: permutation over alphas, by seed"] = record["p_alpha_permutation"]
        found["published: mean of its p over seeds"] = [record["p_alpha_permutation_mean"]]
    if "p_pool_split" in record:
        found["published: pool split, by seed"] = record["p_pool_split"]
        found["published: mean of its p over seeds"] = [record["p_pool_split_mean"]]
    return found
