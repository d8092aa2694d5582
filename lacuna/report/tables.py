"""The tables of a study: main results, comparisons, learning-rate search, published cells.

Rows carry the keys of the stages they come from and nothing of the place or time they ran in, so
that two runs with the same seeds write the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lacuna.report import published
from lacuna.report.base import Results, Row, Table
from lacuna.report.causal import causal, labelled, reports
from lacuna.report.cells import (
    Cell,
    Value,
    fact,
    grouped,
    of_kind,
    order,
    without_paths,
)
from lacuna.report.evidence import attacks, curves, localization, localization_layers
from lacuna.report.inspections import inspections
from lacuna.report.leaks import leaked_overlap
from lacuna.report.ledger import failures, models
from lacuna.report.precision import chances, precision
from lacuna.report.resurfacing import resurfacing

CELL = ("ratio", "objective", "scenario")
TRIAL = (*CELL, "lr")
MEASURES = {
    "AUES": ("aues",),
    "MU95": ("mu95", "value"),
    "FS at alpha 1": ("fs_end",),
    "RS at alpha 1": ("rs_end",),
}
BAND = (0.90, 1.0)
"""FS at alpha = 1 that a learning rate should reach, where the configuration names no window."""


def tables(results: Results) -> list[Table]:
    """All tables whose bytes depend on the study alone; some only where there is anything in them.

    Where checkpoints ship with a causal report, what stands on them says which of them failed it.
    """
    stages = results.stages
    attacked = resurfacing(stages), leaked_overlap(stages)
    optional = precision(stages), *attacked, causal(stages), inspections(stages)
    made = [
        models(stages),
        main(results),
        comparisons(results.comparisons),
        localization(stages),
        localization_layers(stages),
        attacks(stages),
        *(table for table in optional if table.rows),
        search(results),
        curves(stages),
        failures(stages),
        published_cells(),
    ]
    found = reports(stages)
    return [labelled(table, found) for table in made]


def main(results: Results) -> Table:
    """Table 2 of Lee et al.: a row per objective, scenario and measure, published cells beside.

    They are of value vectors, so none stands beside a study of single weights.
    """
    rows: list[Row] = []
    by_weight = bool(chances(results.stages))
    for key, cell in grouped(of_kind(results.stages, "trial", "test"), *TRIAL).items():
        place = dict(zip(TRIAL, key, strict=True))
        for measure, path in MEASURES.items():
            rows.append(
                place
                | _measured(cell, measure, path)
                | _versus(find(results.comparisons, key[0], key[1], key[2], measure))
                | ({} if by_weight else _beside(place, measure))
                | {"keys": cell.keys}
            )
    rows += [row for choice in results.choices for row in _untested(choice)]
    columns = (
        *TRIAL, "measure", "status", "n", "seeds", "mean", "sd", "lo", "hi", "uncrossed", "versus",
        "abs_diff_mean", "abs_diff_sd", "diff", "diff_lo", "diff_hi", "interval_method",
        "p_sign_flip", "p_min", "p_published_test", "published", "published_difference", "keys",
    )  # fmt: skip
    note = (
        "mean, sd and 95% t interval [lo, hi] over n seeds. uncrossed: seeds whose model utility "
        "never fell to 95% of its start; their MU95 is the forget quality at the lowest utility "
        "reached. diff: this scenario minus `versus`, paired by seed. p_sign_flip: exact test "
        "over seeds (ours), at least p_min = 2/2^n. p_published_test: mean over seeds of the "
        "paper's within-curve test (AUES: permutation over alphas; MU95: pool and split); the "
        "alphas of one curve are not independent, so it says nothing about other seeds."
    )
    return Table("main", "Oracle, random and located regions", note, columns, rows)


def _untested(choice: Mapping[str, Any]) -> list[Row]:
    """The rows of a cell that no candidate rate survived: it has no test trials, but a place."""
    if choice["lr"] is not None:
        return []
    place = {**{name: choice[name] for name in TRIAL}, "n": 0}
    status = f"failed ({choice['reason']})"
    return [{**place, "measure": measure, "status": status} for measure in MEASURES]


def _measured(cell: Cell, measure: str, path: tuple[str, ...]) -> dict[str, Any]:
    spread = cell.spread(cell.values(*path))
    ends = [(fact(stage, "seed"), stage["summary"].get("mu95") or {}) for stage in cell.done]
    uncrossed = [seed for seed, mu95 in ends if mu95.get("crossed") is False]
    return {
        "measure": measure,
        "status": cell.status,
        "n": spread.n,
        "seeds": cell.seeds,
        **spread.columns(),
        "uncrossed": uncrossed if measure == "MU95" else None,
    }


def find(
    records: Sequence[Mapping[str, Any]], ratio: Value, objective: Value, a: Value, measure: str
) -> Mapping[str, Any] | None:
    """The comparison of scenario a with `random` in `measure`, or None."""
    wanted = (ratio, objective, a, "random", measure.lower())
    names = ("ratio", "objective", "scenario_a", "scenario_b", "metric")
    return next((r for r in records if tuple(r.get(name) for name in names) == wanted), None)


def _versus(record: Mapping[str, Any] | None) -> dict[str, Any]:
    if record is None:
        return {}
    low, high = record.get("interval") or (None, None)
    names = ("abs_diff_mean", "abs_diff_sd", "diff", "interval_method", "p_sign_flip", "p_min")
    return {
        "versus": record["scenario_b"],
        **{name: record.get(name) for name in names},
        "diff_lo": low,
        "diff_hi": high,
        "p_published_test": record.get("p_alpha_permutation_mean", record.get("p_pool_split_mean")),
    }


def _beside(place: Mapping[str, Any], measure: str) -> dict[str, Any]:
    objective, scenario, ratio = place["objective"], place["scenario"], place["ratio"]
    found = published.cells_beside(objective, scenario, measure, ratio)
    gaps = published.differences_beside(objective, measure, ratio)
    return {
        "published": [str(cell) for cell in found],
        "published_difference": [str(gap) for gap in gaps] if scenario == "oracle" else [],
    }


def comparisons(records: Sequence[Mapping[str, Any]]) -> Table:
    """Every comparison of two scenarios, as `significance.compare` gave it."""
    columns = (
        "ratio", "objective", "scenario_a", "scenario_b", "metric", "n_seeds", "seeds", "missing",
        "values_a", "mean_a", "sd_a", "values_b", "mean_b", "sd_b", "abs_diff_mean", "abs_diff_sd",
        "diff", "diff_sd", "interval", "interval_method", "p_sign_flip", "p_min",
        "p_alpha_permutation", "p_alpha_permutation_mean", "p_pool_split", "p_pool_split_mean",
        "uncrossed_a", "uncrossed_b",
    )  # fmt: skip
    ordered = sorted(records, key=lambda row: [order(row.get(name)) for name in columns[:5]])
    rows = [
        {**row, "missing": [without_paths(reason) for reason in row.get("missing") or []]}
        for row in ordered
    ]
    note = "Differences are a minus b, paired by seed; missing names the pairs without a value."
    return Table("comparisons", "Comparisons", note, columns, rows)


def search(results: Results) -> Table:
    """Every learning rate tried on the tuning seeds, and the one each cell was tested with."""
    choices = chosen(results)
    window = results.config.get("search") or {}
    low, high = float(window.get("fs_low", BAND[0])), float(window.get("fs_high", BAND[1]))
    rows: list[Row] = []
    stages = of_kind(results.stages, "trial", "search")
    whole = [stage for stage in stages if fact(stage, "rung") is None]
    for key, cell in grouped(whole, *TRIAL).items():
        fs, rs, aues = (cell.spread(cell.values(name)) for name in ("fs_end", "rs_end", "aues"))
        choice = choices.get(key[:3], {})
        ends = cell.values("fs_end")
        inside = cell.status == "ok" and all(v is not None and low <= v < high for v in ends)
        rows.append(
            dict(zip(TRIAL, key, strict=True))
            | {"turn": fact((cell.done or cell.failed)[0], "turn")}
            | {"status": cell.status, "n": fs.n, "seeds": cell.seeds, "fs": fs.mean, "rs": rs.mean}
            | {"aues": aues.mean, "in_window": inside, "chosen": choice.get("lr") == key[3]}
            | {"choice": choice.get("reason"), "keys": cell.keys}
        )
    ended = {tuple(row[name] for name in TRIAL) for row in rows}
    rungs = [stage for stage in stages if fact(stage, "rung") is not None]
    for key, cell in grouped(rungs, *TRIAL).items():
        if key not in ended:
            rows.append(
                dict(zip(TRIAL, key, strict=True))
                | _stopped(cell)
                | {"choice": choices.get(key[:3], {}).get("reason")}
            )
    rows.sort(key=lambda row: [order(row[name]) for name in TRIAL])
    tried = {tuple(row[name] for name in CELL) for row in rows}
    for place in sorted(choices.keys() - tried, key=lambda place: [order(part) for part in place]):
        rows.append({**dict(zip(CELL, place, strict=True)), **_given(choices[place])})
    columns = (
        *TRIAL, "turn", "status", "n", "seeds", "fs", "rs", "aues", "in_window", "chosen", "choice",
        "keys",
    )  # fmt: skip
    note = (
        "turn: the order in which a cell's rates were asked for. Means over the tuning seeds, "
        "which are not the test seeds. in_window: FS at alpha = 1 lies in "
        f"[{low:g}, {high:g}) on every tuning seed. stopped: given up after that many steps, as "
        "other rates were ahead; it has no final score. choice: why the cell's rate was chosen, or "
        "why none of its rates fits."
    )
    return Table("search", "Learning-rate search", note, columns, rows)


def _stopped(cell: Cell) -> dict[str, Any]:
    """A rate that was tried on rungs only: the last one tells where it was given up."""
    stages = [*cell.done, *cell.failed]
    last = max(int(str(fact(stage, "rung"))) for stage in stages)
    status = f"stopped after {last} steps" if cell.status == "ok" else cell.status
    return {"turn": fact(stages[0], "turn"), "status": status, "n": 0, "seeds": []} | {
        "in_window": False, "chosen": False, "keys": cell.keys
    }  # fmt: skip


def _given(choice: Mapping[str, Any]) -> dict[str, Any]:
    lr = choice.get("lr")
    return {"lr": lr, "status": "not searched", "chosen": lr is not None, "n": 0} | {
        "choice": choice.get("reason")
    }


def chosen(results: Results) -> dict[tuple[Value, ...], Mapping[str, Any]]:
    """Cell -> its choice; read off the test trials where none was recorded."""
    choices: dict[tuple[Value, ...], Mapping[str, Any]] = {
        tuple(choice[name] for name in CELL): choice for choice in results.choices
    }
    for stage in of_kind(results.stages, "trial", "test"):
        cell = tuple(fact(stage, name) for name in CELL)
        choices.setdefault(cell, {"lr": fact(stage, "lr")})
    return choices


def published_cells() -> Table:
    """All published cells and differences, with their table."""
    rows: list[Row] = [{"what": "cell", **asdict(cell)} for cell in published.CELLS]
    rows += [{"what": "|oracle - random|", **asdict(gap)} for gap in published.DIFFERENCES]
    columns = (
        "table", "model", "data", "unit", "ratio", "objective", "scenario", "metric", "what",
        "mean", "sd", "p", "n",
    )  # fmt: skip
    note = f"{published.SOURCE}. Not measured here."
    return Table("published", "Published results", note, columns, rows)
