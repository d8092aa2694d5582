"""What the published claims are, about which cells of a study, with what evidence."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lacuna.report.base import Margins, Results, rounded
from lacuna.report.causal import FAILED, label, reports
from lacuna.report.cells import (
    Cell,
    Spread,
    Stage,
    Value,
    fact,
    grouped,
    number_at,
    of_kind,
    order,
)
from lacuna.report.evidence import (
    Attack,
    attack_names,
    attack_records,
    localizer_cells,
    privileges,
)
from lacuna.report.precision import chances, headline, records
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
    "success": ("success_after", "Success@k"),
}


def judge(results: Results) -> list[Claim]:
    """All claims of a study, in a fixed order; floats at 6 significant digits."""
    margins = results.margins
    claims = [
        *region_claims(results, margins),
        *erasure_claims(results, margins),
        *localization_claims(results.stages, margins),
        *precision_claims(results.stages, margins),
    ]
    return [rounded(claim) for claim in with_labels(claims, results.stages)]


def with_labels(claims: Sequence[Claim], stages: Sequence[Stage]) -> Iterator[Claim]:
    """Claims on checkpoints that fail their causal report say so."""
    found, known = reports(stages), {stage["key"]: stage for stage in stages}
    for one in claims:
        told = [known[key] for key in one["keys"] if key in known]
        seeds = sorted({fact(stage, "seed") for stage in told}, key=order)
        ratios = sorted({fact(stage, "ratio") for stage in told}, key=order)
        labels = [label(found, ratio, seeds) for ratio in ratios]
        failed = [text for text in labels if text.startswith(FAILED)]
        remark = f" Checkpoints are {'; '.join(failed)}." if failed else ""
        yield {**one, "reason": f"{one['reason']}{remark}"}


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
    shares = list(chances(results.stages).values())
    for metric, margin in (("AUES", margins.aues), ("MU95", margins.mu95)):
        for (ratio, objective), cells in scenarios(results).items():
            size = f"{sum(shares) / len(shares):.3g} of the weights" if shares else ""
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
                f"a random region outside it ({size or f'{ratio:g} of the value vectors'}).",
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
    """LACUNA's erasure, per ratio, objective, relearning attack and outcome.

    Against a random region; in a weight-level study also against every other one, and all weights.
    """
    for (ratio, objective), cells in scenarios(results).items():
        others = [name for name in cells if name != "oracle"]
        for rival in others if chances(results.stages) else [BLIND]:
            yield from rival_claims(results, margins, (ratio, objective), cells, str(rival))


def rival_claims(
    results: Results,
    margins: Margins,
    place: tuple[Value, Value],
    cells: Mapping[Value, Cell],
    rival: str,
) -> Iterator[Claim]:
    """The true region against one other scenario."""
    (ratio, objective), pair = place, (cells["oracle"], cells[rival])
    family = "erasure" if rival == BLIND else "beyond"
    against = "" if rival == BLIND else f", against {rival}"
    where = "all parameters" if rival == "full" else f"the region of {rival}"
    where = "a random one" if rival == BLIND else where
    for name in sorted({*attack_names(pair[0]), *attack_names(pair[1])}, key=by_parts):
        if not any(relearns(cell, name) for cell in pair):
            continue
        for short, (outcome, meaning) in OUTCOMES.items():
            if short == "success" and not any(has(cell, name, outcome) for cell in pair):
                continue
            yield claim(
                f"{family}-{short}",
                f"{named(objective, ratio)}, {name}{against}",
                f"With {objective}, the {meaning} of the people not attacked is lower after "
                f"{name.name} (lr {name.lr:g}) when unlearning was confined to the true region "
                f"than to {where}.",
                LACUNA,
                attack_pairs(*pair, name, outcome),
                getattr(margins, short),
                [*pair[0].keys, *pair[1].keys],
                attack_remarks(results.stages, ratio, pair, name, outcome, rival),
            )


def by_parts(name: Attack) -> list[tuple[int, float, str]]:
    """Sort key of attacks."""
    return [order(part) for part in name]


def relearns(cell: Cell, name: Attack) -> bool:
    """Whether the attack trained on some of the forgotten people (so that others can follow)."""
    return has(cell, name, "attacked_es_after")


def has(cell: Cell, name: Attack, field: str) -> bool:
    """Whether any finished stage of the cell has a number in that field of the attack."""
    return any(number_at(record, field) is not None for record in attack_records(cell, name))


def attack_pairs(oracle: Cell, rival: Cell, name: Attack, outcome: str) -> Mapping[str, Any]:
    """Oracle against another in one outcome, paired by seed; a failed trial is a missing value."""
    sides = []
    for cell in (oracle, rival):
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
    name: Attack,
    outcome: str,
    rival: str,
) -> str:
    """What a reader needs beside the difference: starting points, controls, a weak attack."""
    before = outcome.replace("_after", "_before")
    start = [mean_of(cell, name, before) for cell in cells]
    remarks = ""
    if None not in start:
        remarks += f" Before the attack: oracle {start[0]:.3g}, {rival} {start[1]:.3g}."
    for (_, model), cell in grouped(of_kind(stages, "control"), "ratio", "model").items():
        level = mean_of(cell, name._replace(start=None), outcome)
        if level is not None and all(fact(s, "ratio") in (None, ratio) for s in cell.done):
            remarks += f" The {model} model after the same attack: {level:.3g}."
    reached = [mean_of(cell, name, "attacked_es_after") for cell in cells]
    if any(value is not None and value < WORKED for value in reached):
        words = ", ".join("-" if value is None else f"{value:.2f}" for value in reached)
        remarks += f" The attack was weak: ES of the attacked people {words}."
    return remarks


def mean_of(cell: Cell, name: Attack, field: str) -> float | None:
    """Mean of one field of an attack over the cell's finished stages that have it."""
    values = [number_at(record, field) for record in attack_records(cell, name)]
    return Spread.over([value for value in values if value is not None]).mean


def localization_claims(stages: Sequence[Stage], margins: Margins) -> Iterator[Claim]:
    """LACUNA's imprecision: each localizer's region, and where full-parameter unlearning acts.

    A localizer that is told what a real one would not know, or draws blindly, is a reference.
    """
    blind = chances(stages)
    for (ratio, name), cell in localizer_cells(stages).items():
        if privileges(cell) or name == BLIND:
            continue
        statement = f"The region that {name} finds holds no more of the target than chance."
        record = against_chance(cell, ("precision",), ratio, blind)
        about = f"{named(name, ratio)} region"
        yield claim("localization", about, statement, LACUNA, record, margins.precision, cell.keys)
    trials = grouped(of_kind(stages, "trial", "test"), "ratio", "objective", "scenario")
    for (ratio, objective, scenario), cell in trials.items():
        if scenario == "full":
            statement = f"Full-parameter {objective} changes the target no more than chance."
            record = against_chance(cell, ("localization", "change", "precision"), ratio, blind)
            about = f"{named(objective, ratio)} full-parameter change"
            yield claim(
                "localization", about, statement, LACUNA, record, margins.precision, cell.keys
            )


def precision_claims(stages: Sequence[Stage], margins: Margins) -> Iterator[Claim]:
    """LACUNA's imprecision at the level of weights: raw AUC of full-parameter methods.

    Against 1/2, and against noise as large as the update, rounded as it was.
    """
    for (ratio, objective, scenario), cell, score in headline(stages):
        if scenario != "full":
            continue
        found = records(cell, "forget", score)
        seeds = [int(fact(stage, "seed") or 0) for stage in [*cell.done, *cell.failed]]
        lost = [None for _ in cell.failed]
        areas = [*(number_at(row, "auc") for row in found), *lost]
        nulls: dict[str, list[float | None]] = {
            "1/2": [0.5] * len(seeds),
            "its noise null": [*(number_at(row, "noise_auc") for row in found), *lost],
        }
        for name, null in nulls.items():
            yield claim(
                "precision",
                f"{named(objective, ratio)}, {score} AUC against {name}",
                f"The weights that full-parameter {objective} moves most hold no more of the facts "
                f"to forget than {name} would.",
                LACUNA,
                paired(areas, null, seeds),
                margins.auc,
                cell.keys,
            )


def against_chance(
    cell: Cell, path: tuple[str, ...], ratio: Value, blind: Mapping[tuple[Value, Value], float]
) -> Mapping[str, Any]:
    """Precision minus that of a blind draw (the ratio where `blind` says nothing), over seeds."""
    values = [*cell.values(*path), *(None for _ in cell.failed)]
    seeds = [int(fact(stage, "seed") or 0) for stage in [*cell.done, *cell.failed]]
    return paired(values, [blind.get((ratio, s), float(ratio or 0.0)) for s in seeds], seeds)


def named(name: Value, ratio: Value) -> str:
    """`name` with its ratio."""
    return f"{name} at {ratio:g}" if isinstance(ratio, float) else str(name)
