"""Localization precision: whether the weights that unlearning moved are those that hold facts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lacuna.report.base import Row, Table
from lacuna.report.cells import Cell, Stage, Value, fact, grouped, number_at, of_kind

NULLS = ("noise", "random", "magnitude")
"""Prefixes of a score's nulls in a record of `lacuna.audit.precision`."""
TOPS = ("0.1%", "1%", "5%", "10%")
PLACE = ("ratio", "objective", "scenario", "lr")


def precision(stages: Sequence[Stage]) -> Table:
    """A row per cell, truth and score: the headline score first, all beside their nulls."""
    rows: list[Row] = []
    for key, cell in grouped(of_kind(stages, "trial", "test"), *PLACE).items():
        for truth, score in measured(cell):
            place = dict(zip(PLACE, key, strict=True))
            rows.append(place | _row(cell, truth, score) | {"keys": cell.keys})
    columns = (
        *PLACE, "truth", "score", "headline", "status", "n", "seeds", "chance", "auc_mean",
        "auc_sd", "auc_lo", "auc_hi", *(f"auc_{name}" for name in NULLS), "above_null",
        *(f"p@{top}{tail}" for top in TOPS for tail in ("", *(f"_{name}" for name in NULLS))),
        "changed", "energy_inside", "auc_bf16", "recall_bf16", "keys",
    )  # fmt: skip
    note = (
        "auc: chance that a weight of the truth (forget: masks of the groups to forget; union: all "
        "masks) scores above another one; 0.5 is blind. p@k: share of the truth among the k with "
        "the highest score; chance is the truth's share of all weights. Beside each stand its "
        "nulls, which know nothing: noise (Gaussian, as large as the update), random (the update "
        "itself, shuffled within each matrix), magnitude (the size of a weight before). The "
        "headline score, raw |change|, was fixed beforehand and stands first. Any other one says "
        "only what it finds above its null (above_null: its auc minus the highest of the three): "
        "some find the masks in noise. changed: share of the weights that moved; energy_inside: "
        "share of the squared change that lies in the truth. auc_bf16, of the headline score: the "
        "same once both models are rounded to bfloat16, where recall_bf16 is the share p of the "
        "truth's weights that still differ; an update inside the truth then has 1/2 + p/2."
    )
    return Table("precision", "Localization precision", note, columns, rows)


def measured(cell: Cell) -> list[tuple[str, str]]:
    """(truth, score) of everything that any finished stage has, headline scores first."""
    found = dict.fromkeys(
        (row["truth"], row["score"], not row["headline"])
        for stage in cell.done
        for row in (stage["summary"].get("precision") or {}).get("scores", ())
    )
    return [(truth, score) for truth, score, _ in sorted(found, key=lambda name: name[2])]


def records(cell: Cell, truth: str, score: str, part: str = "scores") -> list[Mapping[str, Any]]:
    """The row of a truth and score in each finished stage; empty where it has none."""
    wanted = {"truth": truth} | ({"score": score} if part == "scores" else {})
    return [
        next(
            (
                row
                for row in (stage["summary"].get("precision") or {}).get(part, ())
                if all(row[name] == value for name, value in wanted.items())
            ),
            {},
        )
        for stage in cell.done
    ]


def headline(stages: Sequence[Stage]) -> Iterator[tuple[tuple[Value, ...], Cell, str]]:
    """Cells with the headline score against the masks to forget, and that score's name."""
    trials = grouped(of_kind(stages, "trial", "test"), "ratio", "objective", "scenario")
    for key, cell in trials.items():
        scores = [score for truth, score in measured(cell) if truth == "forget"]
        if scores:
            yield key, cell, scores[0]


def chances(stages: Sequence[Stage]) -> dict[tuple[Value, Value], float]:
    """(ratio, seed) -> share of the weights that are to forget; none in studies of value vectors.

    There a region's share is the ratio; here a ratio is the share of one group's mask.
    """
    found = {}
    for (ratio, _, _), cell, score in headline(stages):
        for stage, row in zip(cell.done, records(cell, "forget", score), strict=True):
            share = number_at(row, "chance")
            if share is not None:
                found[ratio, fact(stage, "seed")] = share
    return found


def _row(cell: Cell, truth: str, score: str) -> dict[str, Any]:
    found = records(cell, truth, score)
    inside = records(cell, truth, score, "inside")
    total = [number_at(s["summary"].get("precision"), "scored_weights") for s in cell.done]
    area = cell.spread([number_at(row, "auc") for row in found])
    nulls = {name: _mean(cell, found, f"{name}_auc") for name in NULLS}
    known = [value for value in nulls.values() if value is not None]
    row: dict[str, Any] = {"truth": truth, "score": score, "status": cell.status, "n": area.n}
    row |= {"headline": any(one.get("headline") for one in found), "seeds": cell.seeds}
    row |= {"chance": _mean(cell, found, "chance"), **area.columns("auc_")}
    row |= {f"auc_{name}": value for name, value in nulls.items()}
    row["above_null"] = area.mean - max(known) if area.mean is not None and known else None
    for top in TOPS:
        row[f"p@{top}"] = _mean(cell, found, top)
        row |= {f"p@{top}_{name}": _mean(cell, found, f"{name}_{top}") for name in NULLS}
    moved = [number_at(one, "changed") for one in inside]
    shares = [None if a is None or not b else a / b for a, b in zip(moved, total, strict=True)]
    row["changed"] = cell.spread(shares).mean
    row["energy_inside"] = _mean(cell, inside, "energy_inside")
    coarse = records(cell, truth, score, "bfloat16") if row["headline"] else []
    row |= {f"{name}_bf16": _mean(cell, coarse, name) for name in ("auc", "recall")}
    return row


def _mean(cell: Cell, found: Sequence[Mapping[str, Any]], name: str) -> float | None:
    return cell.spread([number_at(row, name) for row in found]).mean
