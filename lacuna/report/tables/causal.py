"""The causal localization report of injected checkpoints: do the masks hold the facts?"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated

from typing_extensions import TypedDict

from lacuna.report.cells import Spread, finished, injections, number, tag
from lacuna.report.columns import KEYS, RATIO, SEED
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, Recorded, StudyTable, columns_of
from lacuna.results import CausalReport

KEPT = "share of their extraction strength that is kept"


class CausalRow(TypedDict):
    """One checkpoint."""

    ratio: Annotated[float | None, RATIO]
    seed: Annotated[int | None, SEED]
    passed: Annotated[bool, Column("Whether all thresholds were met")]
    label: Annotated[str, Column("What stands beside numbers of this checkpoint")]
    es_mean: Annotated[
        float | None, Column("Mean extraction strength of groups after injection", "", "higher")
    ]
    es_weakest: Annotated[
        float | None, Column("Lowest extraction strength of a group after injection", "", "higher")
    ]
    own_highest: Annotated[
        float | None,
        Column(
            "Highest extraction strength of a group whose own mask is put back to base",
            "",
            "lower",
        ),
    ]
    others_keep: Annotated[
        float | None,
        Column(f"One mask put back, all other groups: mean {KEPT}", "share", "higher"),
    ]
    others_keep_lowest: Annotated[
        float | None,
        Column(f"One mask put back, all other groups: lowest {KEPT}", "share", "higher"),
    ]
    joint_forget_own: Annotated[
        float | None,
        Column("All forget masks put back: extraction strength of forget groups", "", "lower"),
    ]
    joint_forget_others: Annotated[
        float | None, Column(f"All forget masks put back, retain groups: {KEPT}", "share", "higher")
    ]
    joint_retain_own: Annotated[
        float | None,
        Column("All retain masks put back: extraction strength of retain groups", "", "lower"),
    ]
    joint_retain_others: Annotated[
        float | None, Column(f"All retain masks put back, forget groups: {KEPT}", "share", "higher")
    ]
    perturbed_keep: Annotated[
        float | None,
        Column(
            "A group's change, shuffled, added to as many weights outside all masks, all groups: "
            f"{KEPT}; facts gone by ablation prove nothing where this is low",
            "share",
            "higher",
        ),
    ]
    neutral_base: Annotated[
        float | None,
        Column("Base model: loss on text never trained on", "nats per token", "lower"),
    ]
    neutral_injected: Annotated[
        float | None,
        Column("Injected model: loss on text never trained on", "nats per token", "lower"),
    ]
    people_base: Annotated[
        float | None,
        Column("Base model: extraction strength of people it knew already", "", "higher"),
    ]
    people_injected: Annotated[
        float | None,
        Column("Injected model: extraction strength of people the base model knew", "", "higher"),
    ]
    keys: Annotated[list[str], KEYS]


@TABLES.register("causal")
class Causal(StudyTable):
    """The report of every injected checkpoint that has one, passed or not."""

    order = 30
    title = "Causal localization"
    note = (
        "Does each group's mask hold its facts? es: extraction strength of the groups after "
        "injection. own: of a group whose own mask is put back to base, the highest of all groups. "
        "others_keep: share of their strength that the other groups keep then, mean and lowest "
        "over groups. joint: the same with all forget (or all retain) masks put back together. "
        "perturbed_keep: share that all keep when a group's change, shuffled, is added to as many "
        "weights outside all masks: facts gone by ablation prove nothing where this is low. "
        "neutral: loss on text never trained on; people: strength of those the base model knew. A "
        "checkpoint that fails is labelled wherever its numbers stand."
    )
    columns = columns_of(CausalRow)
    optional = True
    recorded = Recorded(("ratio", "seed"), ("es_mean", "own_highest", "others_keep"), 0.05)

    @staticmethod
    def rows(results: Results) -> Iterator[CausalRow]:
        """A row per injected checkpoint that has a report."""
        for stage in filter(finished, injections(results.stages)):
            report = stage["summary"].get("causal")
            if report:
                yield _row(tag(stage, "ratio"), tag(stage, "seed"), stage["key"], report)


def _row(ratio: float | None, seed: int | None, key: str, report: CausalReport) -> CausalRow:
    injected = _whole(list(report["injected"].values()))
    forget, retain = report["joint"].get("forget"), report["joint"].get("retain")
    return {
        "ratio": ratio,
        "seed": seed,
        "passed": report["passed"],
        "label": report["label"],
        "es_mean": Spread.over(injected).mean,
        "es_weakest": min(injected, default=None),
        "own_highest": max(_whole(report["own"]), default=None),
        "others_keep": Spread.over(_whole(report["others"])).mean,
        "others_keep_lowest": min(_whole(report["others"]), default=None),
        "joint_forget_own": forget and number(forget["own"]),
        "joint_forget_others": forget and number(forget["others"]),
        "joint_retain_own": retain and number(retain["own"]),
        "joint_retain_others": retain and number(retain["others"]),
        "perturbed_keep": Spread.over(_whole(report["perturbed"])).mean,
        "neutral_base": number(report["neutral"].get("base")),
        "neutral_injected": number(report["neutral"].get("injected")),
        "people_base": number(report["people"].get("base")),
        "people_injected": number(report["people"].get("injected")),
        "keys": [key],
    }


def _whole(values: Sequence[float | None]) -> list[float]:
    """The values, or none at all if one is undefined."""
    present = [value for value in values if value is not None and math.isfinite(value)]
    return present if len(present) == len(values) else []
