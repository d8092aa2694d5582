"""The tables of a study: models, main results, comparisons, search, failures, published, work.

Rows carry the keys of the stages they come from and nothing of the place or time they ran in, so
that two runs with the same seeds write the same bytes. The one exception, `work`, tells what this
run trained and reused; it is written beside the page, not among the tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lacuna.report import published
from lacuna.report.base import Results, Row, Table
from lacuna.report.cells import (
    Cell,
    Stage,
    Value,
    fact,
    grouped,
    number_at,
    of_kind,
    order,
    without_paths,
)
from lacuna.report.evidence import attacks, curves, localization, localization_layers

TRIAL = ("ratio", "objective", "scenario", "lr")
MEASURES = {
    "AUES": ("aues",),
    "MU95": ("mu95", "value"),
    "FS at alpha 1": ("fs_end",),
    "RS at alpha 1": ("rs_end",),
}
BAND = (0.90, 1.0)
"""FS at alpha = 1 that a learning rate should reach (approach 1 without reaching it)."""


def tables(results: Results) -> list[Table]:
    """All tables whose bytes depend on the study alone."""
    stages = results.stages
    return [
        models(stages),
        main(stages, results.comparisons),
        comparisons(results.comparisons),
        localization(stages),
        localization_layers(stages),
        attacks(stages),
        search(stages),
        curves(stages),
        failures(stages),
        published_cells(),
    ]


def models(stages: Sequence[Stage]) -> Table:
    """Base, retained and injected models, one row each, with the checks an injection must pass."""
    controls = {
        (fact(s, "model"), fact(s, "seed"), fact(s, "ratio")): s
        for s in of_kind(stages, "control")
        if s.get("summary") is not None
    }
    rows = []
    for kind in ("base", "retained", "injected"):
        for stage in of_kind(stages, kind):
            seed, ratio = fact(stage, "seed"), fact(stage, "ratio")
            control = controls.get((kind, seed, ratio)) or controls.get((kind, seed, None))
            rows.append(_model_row(kind, stage, control))
    columns = (
        "model", "ratio", "seed", "status", "forget_es", "retain_es", "mu", "fq", "steps",
        "outside_equal", "leak_passed", "leak_es_restored", "leak_es_retained", "keys",
    )  # fmt: skip
    note = (
        "ES: mean extraction strength (1: the model recites every answer). outside_equal: every "
        "value outside the target region is bit-identical to the retained model. Leak check: "
        "with the region put back, forget ES (leak_es_restored) must be that of the retained model."
    )
    return Table("models", "Models", note, columns, rows)


def _model_row(kind: str, stage: Stage, control: Stage | None) -> Row:
    summary = stage.get("summary") or {}
    measured = {**(control or {}).get("summary", {}), **summary}
    leak = summary.get("leak") or {}
    return {
        "model": kind,
        "ratio": fact(stage, "ratio"),
        "seed": fact(stage, "seed"),
        "status": "ok" if stage.get("summary") is not None else "failed (1 of 1)",
        **{name: number_at(measured, name) for name in ("forget_es", "retain_es", "mu", "fq")},
        "steps": summary.get("steps"),
        "outside_equal": summary.get("outside_equal"),
        "leak_passed": leak.get("passed"),
        "leak_es_restored": number_at(leak, "forget_es_restored"),
        "leak_es_retained": number_at(leak, "forget_es_retained"),
        "keys": [stage["key"], *([control["key"]] if control else [])],
    }


def main(stages: Sequence[Stage], records: Sequence[Mapping[str, Any]]) -> Table:
    """Table 2 of Lee et al.: a row per objective, scenario and measure, published cells beside."""
    rows = []
    for key, cell in grouped(of_kind(stages, "trial", "test"), *TRIAL).items():
        place = dict(zip(TRIAL, key, strict=True))
        for measure, path in MEASURES.items():
            rows.append(
                place
                | _measured(cell, measure, path)
                | _versus(find(records, key[0], key[1], key[2], measure))
                | _beside(place, measure)
                | {"keys": cell.keys}
            )
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


def search(stages: Sequence[Stage]) -> Table:
    """Every learning rate tried on the tuning seeds, with the chosen one marked."""
    chosen = {tuple(fact(s, name) for name in TRIAL) for s in of_kind(stages, "trial", "test")}
    trials = grouped(of_kind(stages, "trial", "search"), *TRIAL)
    reached = {key[:3] for key, cell in trials.items() if in_band(cell)}
    rows = []
    for key, cell in trials.items():
        fs, rs, aues = (cell.spread(cell.values(name)) for name in ("fs_end", "rs_end", "aues"))
        none = "no rate gave FS in [0.90, 1.00)"
        rows.append(
            dict(zip(TRIAL, key, strict=True))
            | {"status": cell.status, "n": fs.n, "seeds": cell.seeds, "fs": fs.mean, "rs": rs.mean}
            | {"aues": aues.mean, "in_band": in_band(cell), "chosen": key in chosen}
            | {"remark": "" if key[:3] in reached else none, "keys": cell.keys}
        )
    columns = (
        *TRIAL, "status", "n", "seeds", "fs", "rs", "aues", "in_band", "chosen", "remark", "keys",
    )  # fmt: skip
    note = (
        "Means over the tuning seeds, which are not the test seeds. in_band: mean FS at alpha = 1 "
        "lies in [0.90, 1.00). chosen: the rate the test trials ran with."
    )
    return Table("search", "Learning-rate search", note, columns, rows)


def in_band(cell: Cell) -> bool:
    """Whether the mean FS at alpha = 1 over the cell's seeds lies in the band asked for."""
    mean = cell.spread(cell.values("fs_end")).mean
    return mean is not None and BAND[0] <= mean < BAND[1]


def failures(stages: Sequence[Stage]) -> Table:
    """Every stage without a result, with its reason."""
    failed = [stage for stage in stages if stage.get("summary") is None]
    names = ("objective", "scenario", "localizer", "purpose", "ratio", "seed", "lr")
    rows = [
        {"kind": stage["kind"], "label": stage["label"]}
        | {name: fact(stage, name) for name in names}
        | {"reason": without_paths(str(stage.get("failed"))), "keys": [stage["key"]]}
        for stage in sorted(failed, key=lambda s: (s["kind"], s["label"], s["key"]))
    ]
    note = "Their cells read `failed (k of n)` and give no mean."
    columns = ("kind", "label", *names, "reason", "keys")
    return Table("failures", "Failures", note, columns, rows)


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


def work(results: Results) -> Table:
    """What this run planned, reused and trained, per stage kind; `distinct` counts keys."""
    distinct: dict[str, set[str]] = {}
    for stage in results.stages:
        distinct.setdefault(stage["kind"], set()).add(stage["key"])
    names = ("planned", "reused", "trained")
    rows = [
        {"kind": kind, "distinct": len(distinct.get(kind, ()))}
        | {name: results.counts.get(kind, {}).get(name, 0) for name in names}
        for kind in sorted({*results.counts, *distinct})
    ]
    columns = ("kind", "distinct", *names)
    return Table("work", "Work of this run", injections(rows), columns, rows)


def injections(rows: Sequence[Row]) -> str:
    """Whether each distinct injection was trained once: never twice, by this run or an earlier."""
    row = next((row for row in rows if row["kind"] == "injected"), None)
    if row is None:
        return "The study has no injections."
    distinct, trained, reused = row["distinct"], row["trained"], row["reused"]
    said = f"{trained} injections trained, {reused} reused, {distinct} distinct injection keys"
    if trained == distinct:
        return f"{said}: the number of injections trained equals the number of distinct keys."
    if trained + reused == distinct:
        return f"{said}: each key was trained once, here or before."
    return f"{said}: NOT one per key (a failed injection counts as neither)."
