"""The published claims, each judged by a rule fixed before any result.

Every claim is about a paired difference over seeds with a 95% interval. Where the interval lies
(`position`) decides, with a margin of difference too small to matter (`Margins`):

    equal    the whole interval lies within +- margin
    above    it is not equal, and lies wholly above 0
    below    it is not equal, and lies wholly below 0
    unclear  anything else

| claim | difference | holds | fails |
|---|---|---|---|
| Lee et al.: no better (AUES, MU95) | oracle - random | equal, below | above |
| LACUNA: erases more robustly | others after the attack, oracle - random | below | equal, above |
| LACUNA: localization is imprecise | precision - chance | equal, below | above |

`unclear` leaves a claim undetermined. `below` upholds the first because it is one-sided: a random
region that is better is no argument for the true one. Fewer than three seeds, a failed or undefined
trial, or (for MU95) a curve that never falls to 95% utility, leave a claim undetermined whatever
its interval. Intervals: AUES by a bootstrap over seeds and people, all others Student's t over
seeds. p is the exact sign-flip test over seeds, given beside the verdict and not part of the rule:
n seeds cannot bring it below 2/2^n. Nothing is corrected for the number of claims; read a family as
a whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lacuna.report.base import Margins, Results, rounded
from lacuna.report.cells import (
    Cell,
    Spread,
    Stage,
    Value,
    fact,
    grouped,
    number_at,
    of_kind,
    without_paths,
)
from lacuna.report.evidence import attack_names, attack_records
from lacuna.report.published import SOURCE
from lacuna.report.tables import find
from lacuna.significance import paired

Claim = dict[str, Any]
MIN_SEEDS = 3
WORKED = 0.9
"""ES of the attacked people from which an attack counts as having worked."""
LACUNA = "Boglioni et al. 2026 (LACUNA), arXiv 2607.02513"
FAMILIES = {
    "region-aues": "Lee et al., AUES: the true region is no better than a random one",
    "region-mu95": "Lee et al., MU95: the true region is no better than a random one",
    "erasure": "LACUNA, relearning: less comes back after unlearning in the true region",
    "localization": "LACUNA, localization: regions found or changed are near chance",
}
UPHELD = {
    "region-aues": {"equal", "below"},
    "region-mu95": {"equal", "below"},
    "erasure": {"below"},
    "localization": {"equal", "below"},
}
OUTCOMES = {"others_logp_after": "mean log-probability", "others_es_after": "extraction strength"}


def judge(results: Results) -> list[Claim]:
    """All claims of a study, in a fixed order; floats at 6 significant digits."""
    margins = results.margins
    claims = [
        *region_claims(results, margins),
        *erasure_claims(results.stages, margins),
        *localization_claims(results.stages, margins),
    ]
    return [rounded(claim) for claim in claims]


def headline(verdict: Sequence[Claim]) -> list[str]:
    """One sentence per family: for how many claims it holds, fails, and is undetermined."""
    lines = []
    for family, statement in FAMILIES.items():
        claims = [claim for claim in verdict if claim["family"] == family]
        parts = []
        for outcome in ("holds", "fails", "undetermined"):
            about = [claim["about"] for claim in claims if claim["verdict"] == outcome]
            names = "" if outcome == "undetermined" else f" ({', '.join(about)})"
            if about:
                parts.append(f"{outcome} for {len(about)} of {len(claims)}{names}")
        seeds = sorted({claim["n"] for claim in claims})
        if claims:
            counted = "-".join(dict.fromkeys(str(n) for n in (seeds[0], seeds[-1])))
            lines.append(f"{statement}: {'; '.join(parts)}; n = {counted} seeds.")
    return lines


def position(interval: Sequence[float], margin: float) -> str:
    """Where an interval lies: `equal`, `above`, `below` or `unclear` (see the module's table)."""
    low, high = interval
    if -margin <= low and high <= margin:
        return "equal"
    return "above" if low > 0 else "below" if high < 0 else "unclear"


def decide(family: str, record: Mapping[str, Any], margin: float) -> tuple[str, str]:
    """(verdict, reason) of one paired comparison."""
    n, effect, interval = record["n_seeds"], record.get("diff"), record.get("interval")
    missing = [without_paths(reason) for reason in record.get("missing") or []]
    if missing:
        return "undetermined", f"not every pair of seeds has a value: {'; '.join(missing)}"
    if n < MIN_SEEDS or effect is None or interval is None:
        return "undetermined", f"n = {n}: at least {MIN_SEEDS} seeds are needed"
    uncrossed = sorted({*record.get("uncrossed_a", ()), *record.get("uncrossed_b", ())})
    if uncrossed:
        seeds = ", ".join(map(str, uncrossed))
        return "undetermined", f"utility never fell to 95% at seeds {seeds}: MU95 is not reached"
    where = position(interval, margin)
    said = {
        "equal": f"lies within the margin of +-{margin:g}",
        "above": "lies wholly above 0",
        "below": "lies wholly below 0",
        "unclear": f"neither excludes 0 nor lies within the margin of +-{margin:g}",
    }[where]
    low, high = interval
    reason = f"{effect:+.3g}, 95% interval [{low:.3g}, {high:.3g}] over {n} seeds, {said}"
    if where == "unclear":
        return "undetermined", reason
    return ("holds" if where in UPHELD[family] else "fails"), reason


def claim(
    family: str,
    about: str,
    statement: str,
    source: str,
    record: Mapping[str, Any],
    margin: float,
    keys: Sequence[str],
    remarks: str = "",
) -> Claim:
    """One judged claim as it stands in verdict.json."""
    verdict, reason = decide(family, record, margin)
    n, p_min = record["n_seeds"], record.get("p_min")
    bound = "" if p_min is None else f" (p cannot be below 2/2^{n} = {p_min:.3g})"
    method = "bootstrap over seeds and people"
    if record.get("interval_method") != "bootstrap":
        method = "Student's t over seeds"
    return {
        "claim": f"{family}: {about}",
        "family": family,
        "about": about,
        "statement": statement,
        "source": source,
        "effect": record.get("diff"),
        "interval": record.get("interval"),
        "p": record.get("p_sign_flip"),
        "n": n,
        "seeds": list(record.get("seeds") or ()),
        "test": f"exact sign-flip over seeds{bound}; interval: {method}",
        "margin": margin,
        "verdict": verdict,
        "reason": f"{reason}.{remarks}",
        "keys": list(keys),
    }


def scenarios(stages: Sequence[Stage]) -> dict[tuple[Value, Value], dict[Value, Cell]]:
    """Cells of test trials: (ratio, objective) -> scenario -> cell; only pairs to be compared."""
    pairs: dict[tuple[Value, Value], dict[Value, Cell]] = {}
    trials = grouped(of_kind(stages, "trial", "test"), "ratio", "objective", "scenario")
    for (ratio, objective, scenario), cell in trials.items():
        pairs.setdefault((ratio, objective), {})[scenario] = cell
    return {place: cells for place, cells in pairs.items() if {"oracle", "random"} <= cells.keys()}


def region_claims(results: Results, margins: Margins) -> Iterator[Claim]:
    """Lee et al., per metric, ratio and objective, from the study's comparisons."""
    for metric, margin in (("AUES", margins.aues), ("MU95", margins.mu95)):
        for (ratio, objective), cells in scenarios(results.stages).items():
            record = find(results.comparisons, ratio, objective, "oracle", metric)
            if record is None:
                n = min(len(cells["oracle"].done), len(cells["random"].done))
                record = {"n_seeds": n, "missing": [f"{metric} was not compared"]}
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


def erasure_claims(stages: Sequence[Stage], margins: Margins) -> Iterator[Claim]:
    """LACUNA's erasure, per ratio, objective, relearning attack and outcome."""
    for (ratio, objective), cells in scenarios(stages).items():
        oracle, random = cells["oracle"], cells["random"]
        names = {*attack_names(oracle), *attack_names(random)}
        for name in sorted(name for name in names if relearns(oracle, name)):
            for outcome, meaning in OUTCOMES.items():
                margin = margins.logp if outcome == "others_logp_after" else margins.es
                yield claim(
                    "erasure",
                    f"{named(objective, ratio)}, {name[0]} lr {name[1]:g}, {meaning}",
                    f"With {objective}, the {meaning} of the people not attacked is lower after "
                    f"{name[0]} (lr {name[1]:g}) when unlearning was confined to the true region "
                    f"than to a random one.",
                    LACUNA,
                    attack_pairs(oracle, random, name, outcome),
                    margin,
                    [*oracle.keys, *random.keys],
                    attack_remarks(stages, ratio, (oracle, random), name, outcome),
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
    """LACUNA's imprecision: each localizer's region, and where full-parameter unlearning acts."""
    cells = grouped(of_kind(stages, "localized"), "ratio", "localizer")
    for (ratio, name), cell in cells.items():
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
