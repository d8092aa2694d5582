"""Table 2 of Lee et al.: a row per objective, scenario and measure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated

from typing_extensions import TypedDict

from lacuna.report.cells import Cell, Spread, TrialKey, find, grouped, tag, trials
from lacuna.report.columns import KEYS, SEEDS, STATUS, N, Place
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, Recorded, StudyTable, columns_of
from lacuna.results import ChoiceRecord, ScenarioComparison, TrialRow


def _mu95(stage: TrialRow) -> float | None:
    found = stage["summary"]["mu95"]
    return None if found is None else found["value"]


MEASURES: Mapping[str, Callable[[TrialRow], float | None]] = {
    "AUES": lambda stage: stage["summary"]["aues"],
    "MU95": _mu95,
    "FS at alpha 1": lambda stage: stage["summary"]["fs_end"],
    "RS at alpha 1": lambda stage: stage["summary"]["rs_end"],
}


class Measured(TypedDict):
    """One measure of a cell over its seeds."""

    measure: Annotated[
        str,
        Column(
            "AUES: area under the curve of retain strength over forget strength. MU95: forget "
            "quality (log10 p) where model utility has fallen to 95%. FS, RS: forget and retain "
            "strength of the unlearned model (alpha 1)"
        ),
    ]
    status: Annotated[str, STATUS]
    n: Annotated[int, N]
    seeds: Annotated[list[int | None] | None, SEEDS]
    mean: Annotated[float | None, Column("Mean over seeds", "as the measure", "higher")]
    sd: Annotated[float | None, Column("Sample standard deviation over seeds", "as the measure")]
    lo: Annotated[
        float | None,
        Column("Lower end of the mean's 95% t interval over seeds", "as the measure", hidden=True),
    ]
    hi: Annotated[
        float | None,
        Column("Upper end of the mean's 95% t interval over seeds", "as the measure", hidden=True),
    ]
    uncrossed: Annotated[
        list[int | None] | None,
        Column("MU95 only: seeds whose model utility never fell to 95% of its start"),
    ]


class Versus(TypedDict):
    """The cell against the random one."""

    versus: Annotated[str | None, Column("Scenario that this one is compared with")]
    abs_diff_mean: Annotated[
        float | None, Column("Mean over seeds of the difference's size", "as the measure")
    ]
    abs_diff_sd: Annotated[
        float | None,
        Column("Standard deviation over seeds of the difference's size", "as the measure"),
    ]
    diff: Annotated[
        float | None,
        Column("This scenario minus `versus`, paired by seed, mean over seeds", "as the measure"),
    ]
    diff_lo: Annotated[
        float | None, Column("Lower end of the difference's 95% interval", "as the measure")
    ]
    diff_hi: Annotated[
        float | None, Column("Upper end of the difference's 95% interval", "as the measure")
    ]
    interval_method: Annotated[
        str | None,
        Column("`two-way t` over seeds and people, or `t`: Student's t over seeds"),
    ]
    p_sign_flip: Annotated[
        float | None, Column("Exact sign-flip test of the difference over seeds", "p")
    ]
    p_min: Annotated[
        float | None, Column("Lowest p that so many seeds can give in the sign-flip test", "p")
    ]
    p_published_test: Annotated[
        float | None,
        Column("Mean over seeds of the p of the paper's test within one seed's curves", "p"),
    ]


NOT_COMPARED: Versus = {
    "versus": None,
    "abs_diff_mean": None,
    "abs_diff_sd": None,
    "diff": None,
    "diff_lo": None,
    "diff_hi": None,
    "interval_method": None,
    "p_sign_flip": None,
    "p_min": None,
    "p_published_test": None,
}


class MainRow(Place, Measured, Versus):
    """One measure of one cell at one rate."""

    keys: Annotated[list[str] | None, KEYS]


@TABLES.register("main")
class Main(StudyTable):
    """The results of a study."""

    order = 10
    title = "Oracle, random and located regions"
    note = (
        "mean, sd and 95% t interval [lo, hi] over n seeds; a seed with several random regions is "
        "one number, their mean. uncrossed: seeds whose model utility never fell to 95% of its "
        "start; their MU95 is the forget quality at the lowest utility reached. diff: this "
        "scenario minus `versus`, paired by seed. p_sign_flip: exact test over seeds (ours), at "
        "least p_min = 2/2^n. p_published_test: mean over seeds of the paper's within-curve test, "
        "in a seed's first random region (AUES: permutation over alphas; MU95: pool and split); "
        "the alphas of one curve are not independent, so it says nothing about other seeds."
    )
    columns = columns_of(MainRow)
    template = "main.html.jinja"
    recorded = Recorded(("ratio", "objective", "scenario", "measure"), ("mean",), 0.02)

    @staticmethod
    def rows(results: Results) -> Iterator[MainRow]:
        """By cell and measure; then the cells that no candidate rate survived."""
        for key, cell in grouped(trials(results.stages), TrialKey.of).items():
            for measure, read in MEASURES.items():
                yield {
                    **key.place,
                    **_measured(cell, measure, cell.over(read)),
                    **_versus(find(results.comparisons, key.cell, measure)),
                    "keys": cell.keys,
                }
        for choice in results.choices:
            if choice["lr"] is None:
                yield from _untested(choice)


def _untested(choice: ChoiceRecord) -> Iterator[MainRow]:
    """The rows of a cell without a rate: it has no test trials, but a place."""
    key = TrialKey(choice["ratio"], choice["objective"], choice["scenario"], None)
    for measure in MEASURES:
        yield {
            **key.place,
            **_measured(None, measure, Spread(0)),
            "status": f"failed ({choice['reason']})",
            **_versus(None),
            "keys": None,
        }


def _measured(cell: Cell[TrialRow] | None, measure: str, spread: Spread) -> Measured:
    return {
        "measure": measure,
        "status": cell.status if cell else "",
        "n": spread.n,
        "seeds": cell.seeds if cell else None,
        "mean": spread.mean,
        "sd": spread.sd,
        "lo": spread.lo,
        "hi": spread.hi,
        "uncrossed": _uncrossed(cell) if cell and measure == "MU95" else None,
    }


def _uncrossed(cell: Cell[TrialRow]) -> list[int | None]:
    ends = [(tag(stage, "seed"), stage["summary"]["mu95"]) for stage in cell.done]
    return list(dict.fromkeys(seed for seed, mu95 in ends if mu95 and not mu95["crossed"]))


def _versus(record: ScenarioComparison | None) -> Versus:
    if record is None:
        return NOT_COMPARED
    low, high = record["interval"] or (None, None)
    pool_split = record.get("p_pool_split_mean")
    return {
        "versus": record["scenario_b"],
        "abs_diff_mean": record["abs_diff_mean"],
        "abs_diff_sd": record["abs_diff_sd"],
        "diff": record["diff"],
        "diff_lo": low,
        "diff_hi": high,
        "interval_method": record["interval_method"],
        "p_sign_flip": record["p_sign_flip"],
        "p_min": record["p_min"],
        "p_published_test": record.get("p_alpha_permutation_mean", pool_split),
    }
