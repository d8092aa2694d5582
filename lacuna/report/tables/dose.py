"""Dose of location: slopes on the share of the true region, by seed."""

from collections.abc import Iterator
from typing import Annotated

from typing_extensions import TypedDict

from lacuna.report.attacks import Attack
from lacuna.report.cells import mean_of
from lacuna.report.claims.dose import CURVES, Doses, Read, doses
from lacuna.report.columns import ATTACK, ATTACK_LR, KEYS, OBJECTIVE, RATIO, START, N
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of

MEASURED = "as the measure"
SLOPE = f"{MEASURED}, per whole region"


class DoseRow(TypedDict):
    """One measure of one ratio and objective."""

    ratio: Annotated[float | None, RATIO]
    objective: Annotated[str | None, OBJECTIVE]
    measure: Annotated[
        str,
        Column(
            "`matched`: mean retain strength over forget strength up to the depth that all doses "
            "of a seed reach; `depth`: retain strength at that depth; `logp`: mean log-probability "
            "of the people not attacked, after relearning (nats per token)"
        ),
    ]
    attack: Annotated[str | None, ATTACK]
    attack_lr: Annotated[float | None, ATTACK_LR]
    start: Annotated[float | None, START]
    doses: Annotated[
        list[float], Column("Shares of the target region that the regions hold, each as large")
    ]
    means: Annotated[list[float | None], Column("Mean over seeds at each dose", MEASURED)]
    n: Annotated[int, N]
    slope: Annotated[float | None, Column("Mean over seeds of the slope on the dose", SLOPE)]
    slope_sd: Annotated[float | None, Column("Standard deviation over seeds of the slope", SLOPE)]
    slope_lo: Annotated[float | None, Column("Lower end of its 95% interval", SLOPE)]
    slope_hi: Annotated[float | None, Column("Upper end of its 95% interval", SLOPE)]
    interval_method: Annotated[
        str,
        Column("`two-way t` over seeds and people, or `t`: Student's t over seeds"),
    ]
    seeds: Annotated[list[int], Column("Seeds that have all doses")]
    slopes: Annotated[list[float | None], Column("The slope of each seed", SLOPE)]
    keys: Annotated[list[str], KEYS]


@TABLES.register("dose")
class Dose(StudyTable):
    """What more of the truth in a region is worth; only in studies with doses in between."""

    order = 43
    title = "Dose of location"
    note = (
        "Regions as large as the true one hold a share of it and random vectors besides. The slope "
        "is by least squares on the share, within a seed: 0 where the place does not matter, what "
        "oracle and random differ by where it counts in proportion. `random` counts with its first "
        "region. matched and depth are read at the depth that all doses of a seed reach."
    )
    columns = columns_of(DoseRow)
    optional = True

    @staticmethod
    def rows(results: Results) -> Iterator[DoseRow]:
        """By ratio, objective and measure."""
        for found in doses(results):
            for measure in CURVES:
                yield _row(found, measure, Attack(None, None), found.of_curves(measure))
            for attack in found.relearning():
                yield _row(found, "logp", attack, found.of_attack(attack))


def _row(found: Doses, measure: str, attack: Attack, read: Read) -> DoseRow:
    record = read.record
    low, high = record["interval"] or (None, None)
    return {
        "ratio": found.ratio,
        "objective": found.objective,
        "measure": measure,
        "attack": attack.name,
        "attack_lr": attack.lr,
        "start": attack.start,
        "doses": list(found.shares),
        "means": [mean_of([row[k] for row in read.values]) for k in range(len(found.shares))],
        "n": record["n_seeds"],
        "slope": record["diff"],
        "slope_sd": record["diff_sd"],
        "slope_lo": low,
        "slope_hi": high,
        "interval_method": record["interval_method"],
        "seeds": record["seeds"],
        "slopes": record["values_a"],
        "keys": found.keys,
    }
