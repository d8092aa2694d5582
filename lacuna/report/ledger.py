"""The books of a study: which models were made, what failed, and what this run had to do."""

from collections.abc import Sequence

from lacuna.report.base import Results, Row, Table
from lacuna.report.cells import Stage, fact, number_at, of_kind, without_paths

MEASURED = ("forget_es", "retain_es", "paraphrase_es", "mu", "fq")


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
        "model", "ratio", "seed", "status", "forget_es", "retain_es", "paraphrase_es", "mu", "fq",
        "steps",
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
        **{name: number_at(measured, name) for name in MEASURED},
        "steps": summary.get("steps"),
        "outside_equal": summary.get("outside_equal"),
        "leak_passed": leak.get("passed"),
        "leak_es_restored": number_at(leak, "forget_es_restored"),
        "leak_es_retained": number_at(leak, "forget_es_retained"),
        "keys": [stage["key"], *([control["key"]] if control else [])],
    }


def failures(stages: Sequence[Stage]) -> Table:
    """Every stage without a result, with its reason."""
    failed = {stage["key"]: stage for stage in stages if stage.get("summary") is None}.values()
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


def work(results: Results) -> Table:
    """What this run planned, reused and trained, per stage kind; `distinct` counts keys.

    It differs between runs of the same study, so it stands beside the page, not among the tables.
    """
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
