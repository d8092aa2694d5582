"""Hand-made stages and studies for tests of the report, of value vectors and of single weights."""

import csv
from pathlib import Path
from typing import Any

from lacuna.report import Results, render
from lacuna.report.table import make
from lacuna.seeds import numpy_generator
from lacuna.significance import compare

Record = dict[str, Any]
ALPHAS = [0.0, 0.5, 1.0]
NOT_ASKED = dict.fromkeys(
    ("k", "leaked_before", "leaked_after", "leaked_overlap", "success_before", "success_after",
     "start_alpha", "start_es", "start_retain_es")
)  # fmt: skip
"""What an attack's record says of leaked sets and matched starts where there are none."""


def key(*words: object) -> str:
    return "-".join(map(str, words)).ljust(64, "0")


def stage(kind: str, tags: Record, summary: Record | None, **extra: Any) -> Record:
    name = " ".join(f"{k}={v}" for k, v in tags.items())
    found: Record = {"kind": kind, "key": key(kind, name), "label": f"{kind} {name}"}
    found["tags"] = {k: str(v) for k, v in tags.items()}
    outcome = {"failed": "loss is not finite"} if summary is None else {"summary": summary}
    return found | outcome | extra


def attack(attack_name: str, lr: float | None, before: float, after: float) -> Record:
    trained = attack_name == "relearn"
    return NOT_ASKED | {
        "attack": attack_name, "lr": lr, "n_attacked": 4 if trained else None, "n_others": 4,
        "attacked_es_after": 0.97 if trained else None, "others_es_before": 0.05,
        "others_es_after": 0.10, "others_logp_before": before, "others_logp_after": after,
    }  # fmt: skip


def trial(
    scenario: str, seed: int, aues: float = 0.9, fs: float = 0.95, lr: float = 0.03, **more: Any
) -> Record:
    tags = {"objective": "npo", "scenario": scenario, "seed": seed, "ratio": 0.1, "lr": lr}
    layers = [{"layer": 0, "precision": 0.2, "recall": 0.2}]
    layers.append({"layer": 1, "precision": None, "recall": 0.0})
    found = {"precision": 0.1 + 0.02 * seed, "recall": 0.1, "by_layer": layers}
    summary = tags | {
        "purpose": "test", "alphas": ALPHAS, "aues": aues, "fs_end": fs, "rs_end": 0.98,
        "mu95": {"value": -3.0 - seed, "crossed": seed != 3},
        "curve": {
            "fs": [0.0, 0.5, fs], "rs": [1.0, 0.99, 0.98], "mu": [0.6, 0.58, 0.55],
            "fq": [-20.0, -9.0, -3.0], "forget_em": [1, 0.5, 0.1], "forget_prob": [1, 0.5, 0.1],
        },
        "es_forget": [[1.0, 1.0], [0.5, 0.5], [0.0, 0.1]],
        "es_retain": [[1.0, 1.0], [1.0, 0.98], [0.98, 0.98]],
        "people_forget": ["a", "b"], "people_retain": ["c", "d"],
        "localization": {"region": None, "change": found},
        "attacks": [attack("relearn", 3e-4, -6.0, -3.0 - seed), attack("int8", None, -6.0, -6.0)],
    } | more  # fmt: skip
    numbered = {"region": more["region"]} if "region" in more else {}
    return stage("trial", tags | numbered | {"purpose": summary["purpose"]}, summary)


def failed_trial(scenario: str, seed: int, lr: float = 0.03) -> Record:
    tags = {"objective": "npo", "scenario": scenario, "seed": seed, "ratio": 0.1, "lr": lr}
    return stage("trial", tags | {"purpose": "test"}, None)


def control(model: str, seed: int) -> Record:
    summary = {"model": model, "seed": seed, "forget_es": 0.02, "retain_es": 1.0, "mu": 0.61}
    summary |= {"fq": None, "attacks": [attack("relearn", 3e-4, -5.0, -4.0)]}
    return stage("control", {"model": model, "seed": seed}, summary)


def injected(seed: int) -> Record:
    leak = {"forget_es_restored": 0.02, "forget_es_retained": 0.02, "passed": True}
    summary = {"seed": seed, "ratio": 0.1, "forget_es": 1.0, "retain_es": 0.99, "steps": 140}
    summary |= {"outside_equal": True, "leak": leak, "region_vectors": 154}
    return stage("injected", {"seed": seed, "ratio": 0.1}, summary)


def localized(name: str, seed: int, precision: float) -> Record:
    found = {"localizer": name, "seed": seed, "ratio": 0.1, "precision": precision}
    found |= {"recall": precision, "by_layer": [{"layer": 0, "precision": 0.3, "recall": 0.1}]}
    found |= {"auc": (1 + precision) / 2, "average_precision": precision / 2, "privileges": []}
    return stage("localized", {"localizer": name, "seed": seed, "ratio": 0.1}, found)


def comparison(stages: list[Record], metric: str) -> Record:
    sides = []
    for scenario in ("oracle", "random"):
        found = [s for s in stages if s["tags"].get("scenario") == scenario]
        sides.append(
            [s.get("summary") or {"failed": s["failed"], "tags": s["tags"]} for s in found]
        )
    record = compare(sides[0], sides[1], metric, generator=numpy_generator(0), rounds=50)
    place = {"ratio": 0.1, "objective": "npo", "scenario_a": "oracle", "scenario_b": "random"}
    return record | place


def study() -> Results:
    trials = [trial("oracle", s, aues=a) for s, a in ((1, 0.90), (2, 0.94), (3, 0.92))]
    trials += [trial("random", s, aues=a) for s, a in ((1, 0.91), (2, 0.91), (3, 0.94))]
    stages = [
        stage("base", {}, {"retain_es": 0.0}),
        stage("retained", {"seed": 1}, {"seed": 1, "retain_es": 1.0, "forget_es": 0.02}),
        *(injected(seed) for seed in (1, 2)),
        *(localized("activations", seed, 0.8 + 0.02 * seed) for seed in (1, 2)),
        *trials,
        *(control(model, seed) for model in ("retained", "injected") for seed in (1, 2, 3)),
        trial("oracle", 9, lr=0.03, fs=0.92, purpose="search"),
        trial("oracle", 9, lr=0.1, fs=1.0, purpose="search"),
        trial("random", 9, lr=0.03, fs=0.7, purpose="search"),
    ]
    counts = {"injected": {"planned": 2, "reused": 0, "trained": 2}}
    records = [comparison(trials, metric) for metric in ("aues", "mu95")]
    return Results("mini", {"seed": 1}, stages, records, counts=counts)


def made(name: str, source: Results | list[Record]) -> list[Record]:
    """The rows of one table, of a study or of stages alone."""
    results = source if isinstance(source, Results) else Results("x", {}, source)
    return [dict(row) for row in make(name, results).rows]


def written(results: Results, folder: Path) -> dict[str, bytes]:
    render(results, folder)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "tables" / f"{name}.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
