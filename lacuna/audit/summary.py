"""What the weights of two or three checkpoints say, as plain JSON values and a few sentences."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open

from lacuna.artifacts import file_digest
from lacuna.audit.auc import EXACT, tally
from lacuna.audit.change import Changes, compare
from lacuna.audit.precision import Comparison, Truth, precision
from lacuna.audit.stream import Checkpoint, place
from lacuna.model.value import Layout
from lacuna.region import Region, load_masks, load_region, overlap, ranking, top
from lacuna.results import (
    BehaviourRecord,
    CheckpointRow,
    LeftOut,
    PairChange,
    VectorChange,
    VectorOverlap,
    WeightsRecord,
)

LONGEST = 20
"""Value vectors listed by name."""
TEXTS = ("*.json", "*.jinja", "*.txt", "*.model", "*.py")
"""Files of a checkpoint that are not weights, but decide what a model says."""


def read_truths(path: Path, layout: Layout) -> dict[str, Truth]:
    """The regions in a file: `region`; of a file of group masks, `forget` and `union`.

    Raises `UserError` where it is missing, damaged or made for another model.
    """
    region = load_region(path, layout)
    with safe_open(path, framework="pt") as stream:
        kind = (stream.metadata() or {}).get("kind")
    if kind != "groups":
        return {"region": region}
    masks = load_masks(path, layout)
    return {"forget": region, "union": masks.union(range(masks.groups))}


def summarise(comparison: Comparison, truths: Mapping[str, Truth]) -> WeightsRecord:
    """Everything that needs no model: changes, and localization precision of the truths, if any."""
    before, after, base = comparison.before, comparison.after, comparison.base
    changes = compare(before, after)
    pairs = {"before to after": changes}
    if base is not None:
        pairs |= {"base to before": compare(base, before), "base to after": compare(base, after)}
    named = {"before": before, "after": after, "base": base}
    return {
        "checkpoints": [_described(n, one) for n, one in named.items() if one is not None],
        "differing_files": differing_files(before.folder, after.folder),
        "left_out": [
            row for n, one in named.items() if one is not None for row in _left_out(n, one)
        ],
        "unsupported": before.unsupported,
        "changes": [{"pair": name, **pair.whole.to_json()} for name, pair in pairs.items()],
        "layers": [
            {"layer": layer, **found.to_json()}
            for layer, found in changes.by(lambda name: place(name)[0]).items()
            if layer is not None
        ],
        "components": [
            {"component": component, **found.to_json()}
            for component, found in changes.by(lambda name: place(name)[1]).items()
        ],
        "tensors": [{"tensor": n, **found.to_json()} for n, found in changes.tensors.items()],
        "vectors": _vectors(changes),
        "precision": precision(comparison, truths) if truths else None,
        "overlap": {
            name: _overlap(changes, truth, before.layout)
            for name, truth in truths.items()
            if isinstance(truth, Region)
        },
    }


def _described(name: str, checkpoint: Checkpoint) -> CheckpointRow:
    return {
        "checkpoint": name,
        "folder": str(checkpoint.folder),
        "architecture": checkpoint.architecture,
        "weights": checkpoint.weights,
        "tensors": len(checkpoint.shapes),
        "files": len(set(checkpoint.files.values())),
        "stored_as": sorted({str(d).removeprefix("torch.") for d in checkpoint.dtypes.values()}),
    }


def _left_out(name: str, checkpoint: Checkpoint) -> list[LeftOut]:
    """What of a checkpoint's files was not compared, and why."""
    reasons = {"buffers": checkpoint.buffers, "unequal tied copies": checkpoint.unequal_copies}
    return [
        {"checkpoint": name, "why": why, "tensors": list(tensors)}
        for why, tensors in reasons.items()
        if tensors
    ]


def differing_files(first: Path, second: Path) -> list[str]:
    """Names of files that are not weights and are not the same, or not there, in both folders."""
    found = [
        {file.name: file_digest(file) for pattern in TEXTS for file in folder.glob(pattern)}
        for folder in (first, second)
    ]
    names = sorted(found[0].keys() | found[1].keys())
    shards = ".safetensors.index.json"
    return [n for n in names if found[0].get(n) != found[1].get(n) and not n.endswith(shards)]


def _vectors(changes: Changes) -> VectorChange | None:
    """How far value vectors moved, and the ones that moved furthest; None where there are none."""
    if not changes.vectors:
        return None
    lengths = torch.cat(list(changes.vectors.values())).double()
    squares = float(lengths.square().sum())
    places = [
        (module, column)
        for module, found in changes.vectors.items()
        for column in range(len(found))
    ]
    furthest = lengths.sort(descending=True, stable=True).indices[:LONGEST].tolist()
    return {
        "vectors": len(lengths),
        "changed": int((lengths > 0).sum()),
        "effective_fraction": float(lengths.sum()) ** 2 / (len(lengths) * squares)
        if squares
        else None,
        "gini": tally(lengths, bits=EXACT).gini(),
        "furthest": [
            {
                "module": places[i][0],
                "column": places[i][1],
                "distance": float(lengths[i]),
                "share_of_square": float(lengths[i]) ** 2 / squares,
            }
            for i in furthest
            if lengths[i] > 0
        ],
    }


def _overlap(changes: Changes, region: Region, layout: Layout) -> VectorOverlap | None:
    """Precision and recall of the vectors that moved furthest, as many as the region has.

    None where none moved.
    """
    moved = sum(int((lengths > 0).sum()) for lengths in changes.vectors.values())
    if not moved:
        return None
    found = top(layout, changes.vectors, min(moved, len(region)))
    return {**overlap(found, region), **ranking(changes.vectors, region)}


def findings(summary: WeightsRecord, behaviour: BehaviourRecord | None = None) -> list[str]:
    """What weights and behaviour say, in sentences, most important first."""
    changes = {row["pair"]: row for row in summary["changes"]}
    return [
        *_change_findings(summary, changes["before to after"]),
        *_left_out_findings(summary),
        *_base_findings(changes),
        *_precision_findings(summary),
        *_behaviour_findings(behaviour),
    ]


def _change_findings(summary: WeightsRecord, change: PairChange) -> list[str]:
    files = summary["differing_files"]
    other = [f"Files besides the weights differ: {', '.join(files)}."] if files else []
    if not change["largest"]:
        return [
            "No weight differs between before and after: whatever changed in behaviour is not in "
            "the weights, and what they knew they still know.",
            *other,
        ]
    touched = [row for row in summary["tensors"] if row["changed"]]
    vectors = summary["vectors"]
    lines = [
        f"{change['changed']:,} of {change['weights']:,} weights differ "
        f"({change['changed_share']:.2%}), in {len(touched)} of {len(summary['tensors'])} tensors; "
        f"relative change {change['relative']:.3g}.",
        f"The change is spread over an effective {change['effective_fraction']:.2%} of the weights "
        f"(Gini {change['gini']:.3f}; noise everywhere: 63.66%, Gini 0.414).",
    ]
    if vectors is not None:
        lines.append(f"{vectors['changed']:,} of {vectors['vectors']:,} value vectors moved.")
    return lines + other


def _left_out_findings(summary: WeightsRecord) -> list[str]:
    lines = []
    if any(row["why"] == "buffers" for row in summary["left_out"]):
        rows = [row for row in summary["left_out"] if row["why"] == "buffers"]
        held = {row["checkpoint"]: row["tensors"] for row in rows}
        number = len({tensor for tensors in held.values() for tensor in tensors})
        only = "only " if len(held) == 1 else ""
        lines.append(
            f"{number} tensors {only}in {' and '.join(held)} are buffers, not compared "
            f"({next(iter(held.values()))[0]}, ...)."
        )
    for row in summary["left_out"]:
        if row["why"] != "buffers":
            lines.append(
                f"{row['checkpoint']} stores {row['tensors'][0]} as a copy of a tied weight, and "
                f"the two differ: which one a program uses is not said; the weight was compared."
            )
    if summary["unsupported"]:
        lines.append(f"Value vectors were not compared: {summary['unsupported']}.")
    return lines


def _base_findings(changes: Mapping[str, PairChange]) -> list[str]:
    if "base to after" not in changes:
        return []
    there, left = changes["base to before"]["distance"], changes["base to after"]["distance"]
    if not left:
        return ["The distance from base to after is zero: the model was restored to base."]
    part = f", {left / there:.3g} of the distance before" if there else ""
    return [f"After is at a distance of {left:.4g} from base{part}."]


def _precision_findings(summary: WeightsRecord) -> list[str]:
    found = summary["precision"]
    if found is None:
        return []
    lines = []
    for row in found["scores"]:
        if row["headline"] and row["auc"] is not None:
            lines.append(
                f"Against {row['truth']} ({row['chance']:.1%} of the scored weights), "
                f"{row['score']} |change| has AUC {row['auc']:.4f} (± {row['auc_error']:.1g}); "
                f"noise {row['noise_auc']:.4f}, random update {row['random_auc']:.4f}, "
                f"|weight| {row['magnitude_auc']:.4f}."
            )
    for best in found["best"]:
        if best["auc"] is not None:
            lines.append(
                f"Best of {best['of_scores']} scores against {best['truth']}: {best['score']}, "
                f"{best['auc']:.4f}; best of noise {best['noise_auc']:.4f}, of random updates "
                f"{best['random_auc']:.4f}."
            )
    for name, vectors in summary["overlap"].items():
        if vectors is not None and vectors["auc"] is not None:
            lines.append(
                f"Of the value vectors that moved furthest, {vectors['precision']:.1%} lie in "
                f"{name} (recall {vectors['recall']:.1%}, AUC {vectors['auc']:.4f})."
            )
    return lines


def _behaviour_findings(found: BehaviourRecord | None) -> list[str]:
    """What the models answer, and the most that an attack brought back."""
    if found is None:
        return []

    def of_each(values: Mapping[str, float]) -> str:
        return ", ".join(f"{model} {value:.3f}" for model, value in values.items())

    lines = [
        f"Forget ES: {of_each({row['model']: row['forget_es'] for row in found['outputs']})}.",
        f"Retain ES: {of_each({row['model']: row['retain_es'] for row in found['outputs']})}.",
    ]
    most: dict[str, float] = {}
    for row in found["attacks"]:
        most[row["model"]] = max(most.get(row["model"], 0.0), row["others_es_after"])
    if most:
        lines.append(f"Forget ES of people not attacked, after the worst attack: {of_each(most)}.")
    return lines
