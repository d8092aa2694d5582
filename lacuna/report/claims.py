"""What the published claims are, about which cells of a study, with what evidence."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lacuna.report.base import Margins, Results, rounded
from lacuna.report.cells import Cell, Spread, Stage, Value, fact, grouped, number_at, of_kind
from lacuna.report.evidence import attack_names, attack_records, localizer_cells, privileges
from lacuna.report.published import SOURCE
from lacuna.report.tables import find
from lacuna.report.verdict import Claim, claim
from lacuna.significance import paired

LACUNA = "Boglioni et al. 2026 (LACUNA), arXiv 2607.02513"
WORKED = 0.9
"""ES of the attacked people from which an attack counts as having worked."""
BLIND = "random"
"""The localizer that draws without looking: at chance by construction."""
OUTCOMES = {
    "logp": ("others_logp_after", "mean log-probability"),
    "es": ("others_es_after", "extraction strength"),
}


def judge(results: Results) -> list[Claim]:
    """All claims of a study, in a fixed order; floats at 6 significant digits."""
    margins = results.margins
    claims = [
        *region_claims(results, margins),
        *erasure_claims(results, margins),
        *localization_claims(results.stages, margins),
    ]
    return [rounded(claim) for claim in claims]


def scenarios(results: Results) -> dict[tuple[Value, Value], dict[Value, Cell]]:
    """Cells of test trials: (ratio, objective) -> scenario -> cell; only pairs to be compared.

    A scenario for which no learning rate survived has an empty cell: its claim is undetermined, not
    left out.
    """
    pairs: dict[tuple[Value, Value], dict[Value, Cell]] = {}
    trials = grouped(of_kind(results.stages, "trial", "test"), "ratio", "objective", "scenario")
    for (ratio, objective, scenario), cell in trials.items():
        pairs.setdefault((ratio, objective), {})[scenario] = cell
    for choice in results.choices:
        place = (choice["ratio"], choice["objective"])
        if choice["lr"] is None and place in pairs:
            pairs[place].setdefault(choice["scenario"], Cell())
    return {place: cells for place, cells in pairs.items() if {"oracle", "random"} <= cells.keys()}


def region_claims(results: Results, margins: Margins) -> Iterator[Claim]:
    """Lee et al., per metric, ratio and objective, from the study's comparisons."""
    for metric, margin in (("AUES", margins.aues), ("MU95", margins.mu95)):
        for (ratio, objective), cells in scenarios(results).items():
            record = find(results.comparisons, ratio, objective, "oracle", metric)
            if record is None:
                n = min(len(cells["oracle"].done), len(cells["random"].done))
                record = {
                    "n_seeds": n,
                    "missing": [uncompared(results, (ratio, objective), metric)],
                }
            yield claim(
                f"region-{metric.lower()}",
                named(objective, ratio),
                f"With {objective}, unlearning in the true region gives no better {metric} than in "
                f"a random region outside it ({ratio:g} of the value vectors).",
                f"{SOURCE}, Table 2",
                record,
                margin,
                [*cells["oracle"].keys, *cells["random"].keys],
            )


def uncompared(results: Results, place: tuple[Value, Value], metric: str) -> str:
    """Why the study has no comparison of oracle and random."""
    for choice in results.choices:
        if (choice["ratio"], choice["objective"]) == place and choice["lr"] is None:
            return f"{choice['scenario']}: {choice['reason']}"
    return f"{metric} was not compared"


def erasure_claims(results: Results, margins: Margins) -> Iterator[Claim]:
    """LACUNA's erasure, per ratio, objective, relearning attack and outcome."""
    for (ratio, objective), cells in scenarios(results).items():
        oracle, random = cells["oracle"], cells["random"]
        names = {*attack_names(oracle), *attack_names(random)}
        for name in sorted(n for n in names if relearns(oracle, n) or relearns(random, n)):
            for short, (outcome, meaning) in OUTCOMES.items():
                margin = margins.logp if short == "logp" else margins.es
                yield claim(
                    f"erasure-{short}",
                    f"{named(objective, ratio)}, {name[0]} lr {name[1]:g}",
                    f"With {objective}, the {meaning} of the people not attacked is lower after "
                    f"{name[0]} (lr {name[1]:g}) when unlearning was confined to the true region "
                    f"than to a random one.",
                    LACUNA,
                    attack_pairs(oracle, random, name, outcome),
                    margin,
                    [*oracle.keys, *random.keys],
                    attack_remarks(results.stages, ratio, (oracle, random), name, outcome),
                )


def relearns(cell: Cell, name: tuple[Value, Value]) -> bool:
    """Whether the attack trained on some of the forgotten people (so that others can follow)."""
    records = attack_records(cell, name)
    return any(number_at(record, "attacked_es_after") is not None for record in records)


def attack_pairs(
    oracle: Cell, random: Cell, name: tuple[Value, Value], outcome: str
) -> Mapping[str, Any]:
    """Oracle against random in one outcome, paired by seed; a failed trial is a missing value."""
    sides = []
    for cell in (oracle, random):
        found = zip(cell.done, attack_records(cell, name), strict=True)
        sides.append({fact(stage, "seed"): number_at(record, outcome) for stage, record in found})
        sides[-1] |= {fact(stage, "seed"): None for stage in cell.failed}
    seeds = sorted(int(seed) for seed in {*sides[0], *sides[1]} if seed is not None)
    a, b = ([side.get(seed) for seed in seeds] for side in sides)
    return paired(a, b, seeds)


def attack_remarks(
    stages: Sequence[Stage],
    ratio: Value,
    cells: tuple[Cell, Cell],
    name: tuple[Value, Value],
    outcome: str,
) -> str:
    """What a reader needs beside the difference: starting points, controls, a weak attack."""
    before = outcome.replace("_after", "_before")
    start = [mean_of(cell, name, before) for cell in cells]
    remarks = ""
    if None not in start:
        remarks += f" Before the attack: oracle {start[0]:.3g}, random {start[1]:.3g}."
    for (_, model), cell in grouped(of_kind(stages, "control"), "ratio", "model").items():
        level = mean_of(cell, name, outcome)
        if level is not None and all(fact(s, "ratio") in (None, ratio) for s in cell.done):
            remarks += f" The {model} model after the same attack: {level:.3g}."
    reached = [mean_of(cell, name, "attacked_es_after") for cell in cells]
    if any(value is not None and value < WORKED for value in reached):
        words = ", ".join("-" if value is None else f"{value:.2f}" for value in reached)
        remarks += f" The attack was weak: ES of the attacked people {words}."
    return remarks


def mean_of(cell: Cell, name: tuple[Value, Value], field: str) -> float | None:
    """Mean of one field of an attack over the cell's finished stages that have it."""
    values = [number_at(record, field) for record in attack_records(cell, name)]
    return Spread.over([value for value in values if value is not None]).mean


def localization_claims(stages: Sequence[Stage], margins: Margins) -> Iterator[Claim]:
    """LACUNA's imprecision: each localizer's region, and where full-parameter unlearning acts.

    A localizer that is told what a real one would not know, or draws blindly, is a reference.
    """
    for (ratio, name), cell in localizer_cells(stages).items():
        if privileges(cell) or name == BLIND:
            continue
        statement = f"The region that {name} finds holds no more of the target than chance."
        record = against_chance(cell, ("precision",), ratio)
        about = f"{named(name, ratio)} region"
        yield claim("localization", about, statement, LACUNA, record, margins.precision, cell.keys)
    trials = grouped(of_kind(stages, "trial", "test"), "ratio", "objective", "scenario")
    for (ratio, objective, scenario), cell in trials.items():
        if scenario == "full":
            statement = f"Full-parameter {objective} changes the target no more than chance."
            record = against_chance(cell, ("localization", "change", "precision"), ratio)
            about = f"{named(objective, ratio)} full-parameter change"
            yield claim(
                "localization", about, statement, LACUNA, record, margins.precision, cell.keys
            )


def against_chance(cell: Cell, path: tuple[str, ...], ratio: Value) -> Mapping[str, Any]:
    """Precision minus the ratio, over the cell's seeds."""
    values = [*cell.values(*path), *(None for _ in cell.failed)]
    seeds = [int(fact(stage, "seed") or 0) for stage in [*cell.done, *cell.failed]]
    return paired(values, [float(ratio or 0.0)] * len(values), seeds)


def named(name: Value, ratio: Value) -> str:
    """`name` with its ratio."""
    return f"{name} at {ratio:g}" if isinstance(ratio, float) else str(name)
