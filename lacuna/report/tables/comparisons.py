"""Every comparison of two scenarios, as `lacuna.significance.compare` gave it."""

from collections.abc import Iterator
from typing import Annotated

from typing_extensions import TypedDict

from lacuna.report.cells import Value, by_parts, without_paths
from lacuna.report.columns import OBJECTIVE, RATIO
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of
from lacuna.results import ScenarioComparison

METRIC = "as the metric"


class ComparisonRow(TypedDict):
    """Two scenarios in one metric."""

    ratio: Annotated[float, RATIO]
    objective: Annotated[str, OBJECTIVE]
    scenario_a: Annotated[str, Column("Scenario whose values are taken first")]
    scenario_b: Annotated[str, Column("Scenario whose values are subtracted")]
    metric: Annotated[
        str,
        Column(
            "`matched`: mean retain strength over forget strength up to the depth that all arms of "
            "a seed reach; `depth`: retain strength at that depth; `aues`: area under the curve of "
            "retain strength over forget strength; `mu95`: forget quality (log10 p) where model "
            "utility has fallen to 95%"
        ),
    ]
    n_seeds: Annotated[int, Column("Pairs that have both values", "seeds")]
    seeds: Annotated[list[int], Column("Seeds of all pairs")]
    missing: Annotated[list[str], Column("Each pair without a value, with the reason", long=True)]
    values_a: Annotated[list[float | None], Column("Values of scenario a, by seed", METRIC)]
    mean_a: Annotated[float | None, Column("Mean of scenario a", METRIC, "higher")]
    sd_a: Annotated[float | None, Column("Standard deviation of scenario a over seeds", METRIC)]
    values_b: Annotated[list[float | None], Column("Values of scenario b, by seed", METRIC)]
    mean_b: Annotated[float | None, Column("Mean of scenario b", METRIC, "higher")]
    sd_b: Annotated[float | None, Column("Standard deviation of scenario b over seeds", METRIC)]
    abs_diff_mean: Annotated[float | None, Column("Mean over seeds of |a - b|", METRIC)]
    abs_diff_sd: Annotated[float | None, Column("Standard deviation over seeds of |a - b|", METRIC)]
    diff: Annotated[float | None, Column("Mean over seeds of a - b", METRIC)]
    diff_sd: Annotated[float | None, Column("Standard deviation over seeds of a - b", METRIC)]
    interval: Annotated[list[float] | None, Column("95% interval of the mean of a - b", METRIC)]
    interval_method: Annotated[
        str, Column("`two-way t` over seeds and people, or `t`: Student's t over seeds")
    ]
    interval_bootstrap: Annotated[
        list[float] | None,
        Column("AUES: bootstrap over seeds and people, too short below 16 seeds; display", METRIC),
    ]
    p_blocks: Annotated[
        float | None,
        Column("Block randomisation: any of a seed's regions could have been the true one", "p"),
    ]
    p_blocks_min: Annotated[
        float | None, Column("Lowest p that so many seeds and regions can give there", "p")
    ]
    standard_error: Annotated[
        float | None, Column("Standard error of the mean of a - b, by the interval's t", METRIC)
    ]
    df: Annotated[float | None, Column("Degrees of freedom of the interval's t")]
    p_sign_flip: Annotated[float | None, Column("Exact sign-flip test of a - b over seeds", "p")]
    p_min: Annotated[float | None, Column("Lowest p that so many seeds can give", "p")]
    p_alpha_permutation: Annotated[
        list[float | None] | None,
        Column("AUES: the paper's permutation over mixing weights, by seed", "p"),
    ]
    p_alpha_permutation_mean: Annotated[
        float | None, Column("AUES: mean over seeds of the permutation test's p", "p")
    ]
    p_pool_split: Annotated[
        list[float | None] | None, Column("MU95: the paper's pool and split, by seed", "p")
    ]
    p_pool_split_mean: Annotated[
        float | None, Column("MU95: mean over seeds of the pool-and-split p", "p")
    ]
    uncrossed_a: Annotated[
        list[int] | None, Column("MU95: seeds of a whose utility never fell to 95%")
    ]
    uncrossed_b: Annotated[
        list[int] | None, Column("MU95: seeds of b whose utility never fell to 95%")
    ]


@TABLES.register("comparisons")
class Comparisons(StudyTable):
    """Every scenario against the random one: what claims about regions rest on."""

    order = 40
    title = "Comparisons"
    note = "Differences are a minus b, paired by seed; missing names the pairs without a value."
    columns = columns_of(ComparisonRow)

    @staticmethod
    def rows(results: Results) -> Iterator[ComparisonRow]:
        """By ratio, objective, scenarios and metric."""
        for record in sorted(results.comparisons, key=_place):
            yield {
                **record,
                "missing": [without_paths(reason) for reason in record["missing"]],
                "interval_bootstrap": record.get("interval_bootstrap"),
                "p_alpha_permutation": record.get("p_alpha_permutation"),
                "p_alpha_permutation_mean": record.get("p_alpha_permutation_mean"),
                "p_pool_split": record.get("p_pool_split"),
                "p_pool_split_mean": record.get("p_pool_split_mean"),
                "uncrossed_a": record.get("uncrossed_a"),
                "uncrossed_b": record.get("uncrossed_b"),
            }


def _place(record: ScenarioComparison) -> list[tuple[int, float, str]]:
    parts: tuple[Value, ...] = (
        record["ratio"],
        record["objective"],
        record["scenario_a"],
        record["scenario_b"],
        record["metric"],
    )
    return by_parts(parts)
